"""Run lock: at most one run of the pipeline per checkout.

The kernel frees the lock when its holder dies, so no stale PID is left and nothing needs cleaning up. A run that finds
another one at work ends at once in a state named Skipped.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext

from ddpm.common import files
from ddpm.common.locks import LockBusyError, locked
from ddpm.provenance import checkout
from flows import RUN_LOCK, crash_recovery, run_liveness
from flows.tasks.outcome import finish

HOLDER = Path(".state/turn.json")
SKIPPED = "Skipped"

P = ParamSpec("P")
R = TypeVar("R")
_turns: list[Path] = []
"""The checkouts whose lock this process holds: `retrain` runs the body of `pipeline` under its own lock."""


def one_at_a_time(work: Callable[P, R]) -> Callable[P, R | State[None]]:
    """Run a flow's body under the run lock, or end in the state Skipped with the reason.

    The flow run also holds its liveness lock until the process ends (`flows.run_liveness`).
    """

    @functools.wraps(work)
    def in_turn(*arguments: P.args, **named: P.kwargs) -> R | State[None]:
        checkout.require_own_code()
        run_liveness.hold_liveness_lock()
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(_turn())
            except LockBusyError:
                return finish("pipeline", SKIPPED, f"another run is at work here: {_holder()}")
            return work(*arguments, **named)

    return in_turn


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """Hold the run lock of this checkout. Raises LockBusyError at once if another process holds it."""
    here = RUN_LOCK.resolve()
    if here in _turns:
        yield
        return
    with locked(RUN_LOCK, "another run is at work here", patience=0):
        files.write_json(HOLDER, {"run": _name(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat()})
        _turns.append(here)
        try:
            recover_dead_runs()
            yield
        finally:
            _turns.remove(here)


def recover_dead_runs() -> None:
    """Mark killed runs as crashed in Prefect: while this process holds the lock, none of them is at work."""
    if FlowRunContext.get() is not None:
        with get_client(sync_client=True) as client:
            crash_recovery.mark_dead_runs_crashed(client)


def _holder() -> str:
    """`retrain (3f2a...), since 14:02:11 UTC`."""
    try:
        found = files.read_json(HOLDER)
    except FileNotFoundError:  # it has only just begun
        return "it has begun this moment"
    since = datetime.fromisoformat(found["since"])
    return f"{found['run']}, process {found['pid']}, since {since:%Y-%m-%d %H:%M:%S} UTC"


def _name() -> str:
    """The flow run of this process, for others to read."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return "a run"
    return f"{context.flow_run.name} ({context.flow_run.id})"
