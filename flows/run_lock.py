"""Run lock: at most one run of the pipeline per checkout.

The kernel frees the lock when its holder dies, so there is no stale PID and nothing to clean up. A run that starts
while another holds the lock ends at once in a state named Skipped.
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
from flows.tasks import title
from flows.tasks.outcome import finish

HOLDER = Path(".state/turn.json")
SKIPPED = "Skipped"

P = ParamSpec("P")
R = TypeVar("R")
_held: list[Path] = []
"""The checkouts whose run lock this process holds: `retrain` runs the body of `pipeline` under its own lock."""


def one_at_a_time(work: Callable[P, R]) -> Callable[P, R | State[None]]:
    """Run a flow's body under the run lock; if another process holds it, end in the state Skipped with the reason.

    The flow run also holds its liveness lock until the process ends (`flows.run_liveness`).
    """

    @functools.wraps(work)
    def locked_work(*arguments: P.args, **named: P.kwargs) -> R | State[None]:
        checkout.require_own_code()
        run_liveness.hold_liveness_lock()
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(_hold_run_lock())
            except LockBusyError:
                title.set_skipped("another run was active")
                return finish("pipeline", SKIPPED, f"another run is active in this checkout: {_holder()}")
            return work(*arguments, **named)

    return locked_work


@contextlib.contextmanager
def _hold_run_lock() -> Iterator[None]:
    """Hold the run lock of this checkout. Raises LockBusyError at once if another process holds it."""
    here = RUN_LOCK.resolve()
    if here in _held:
        yield
        return
    with locked(RUN_LOCK, "another run is active in this checkout", patience=0):
        files.write_json(HOLDER, {"run": _name(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat()})
        _held.append(here)
        try:
            recover_dead_runs()
            yield
        finally:
            _held.remove(here)


def recover_dead_runs() -> None:
    """Set killed runs to Crashed in Prefect: while this process holds the lock, none of them can be running."""
    if FlowRunContext.get() is not None:
        with get_client(sync_client=True) as client:
            crash_recovery.mark_dead_runs_crashed(client)


def _holder() -> str:
    """Describe the holder: `retrain (3f2a...), process 4711, since 2026-03-01 14:02:11 UTC`."""
    try:
        found = files.read_json(HOLDER)
    except FileNotFoundError:  # the holder has not written it yet
        return "it has just begun"
    since = datetime.fromisoformat(found["since"])
    return f"{found['run']}, process {found['pid']}, since {since:%Y-%m-%d %H:%M:%S} UTC"


def _name() -> str:
    """Name and ID of the flow run of this process."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return "a run"
    return f"{context.flow_run.name} ({context.flow_run.id})"
