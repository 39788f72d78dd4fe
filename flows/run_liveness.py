"""Liveness locks: one lock file for each flow run, held by its process until it ends, however it ends."""

import contextlib
from pathlib import Path
from typing import Any

from prefect.context import FlowRunContext

from ddpm.common.locks import LockBusyError, locked

RUNS = Path(".state/runs")
_lives: dict[Path, contextlib.ExitStack] = {}
"""The locks that this process holds until it ends."""


def hold_liveness_lock() -> None:
    """Hold this flow run's liveness lock in RUNS until the process ends.

    Not only until the flow's body ends: the run is over when its final state is reported.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    path = (RUNS / str(context.flow_run.id)).resolve()
    if path not in _lives:
        _lives[path] = contextlib.ExitStack()
        _lives[path].enter_context(locked(path, "this flow run has another process already"))


def is_alive(flow_run: Any) -> bool | None:
    """Whether the process of a flow run is alive; None if it has no lock file in this checkout."""
    path = RUNS / str(flow_run)
    if not path.exists():
        return None
    try:
        with locked(path, "", patience=0):
            return False
    except LockBusyError:
        return True


def forget(flow_run: Any) -> None:
    """Remove the file of a run that is over."""
    (RUNS / str(flow_run)).unlink(missing_ok=True)
