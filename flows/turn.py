"""Run lock: at most one run of the pipeline per checkout.

A lock under `.state` that the kernel frees when its holder dies, however it dies: no PID that could be another's
meanwhile, nothing to clean up. A run that finds another at work ends at once in a state named Skipped.
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
from prefect.states import Completed

from ddpm.common import files
from ddpm.common.locks import LockBusyError, locked
from ddpm.provenance import checkout
from flows import liveness, run_liveness
from flows.console import reporter

TURN = Path(".state/turn.lock")
HOLDER = Path(".state/turn.json")
SKIPPED = "Skipped"

P = ParamSpec("P")
R = TypeVar("R")
_turns: list[Path] = []
"""The checkouts whose turn this process has: a flow that runs another's body goes on in its own turn."""


def one_at_a_time(work: Callable[P, R]) -> Callable[P, R | State[None]]:
    """A flow's body that runs while no other does in this checkout, and else gives the state Skipped with the reason.

    Its flow run shows life from here until the process ends: see `flows.run_liveness`.
    """

    @functools.wraps(work)
    def in_turn(*arguments: P.args, **named: P.kwargs) -> R | State[None]:
        checkout.require_own_code()
        run_liveness.show_life()
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(_turn())
            except LockBusyError:
                return skipped(f"another run is at work here: {_holder()}")
            return work(*arguments, **named)

    return in_turn


def skipped(why: str) -> State[None]:
    """The final state of a run with nothing to do, told on the terminal as well."""
    reporter.ended("pipeline", SKIPPED, why)
    return Completed(name=SKIPPED, message=why)


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """Hold this checkout's turn. Raises LockBusyError at once when another process does."""
    here = TURN.resolve()
    if here in _turns:
        yield
        return
    with locked(TURN, "another run is at work here", patience=0):
        files.write_json(HOLDER, {"run": _name(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat()})
        _turns.append(here)
        try:
            bury_the_dead()
            yield
        finally:
            _turns.remove(here)


def bury_the_dead() -> None:
    """Set the runs that were killed here to Crashed: with the turn in hand, none of them is at work."""
    if FlowRunContext.get() is not None:
        with get_client(sync_client=True) as client:
            liveness.crash_the_dead(client)


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
