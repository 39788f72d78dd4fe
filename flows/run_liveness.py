"""Liveness locks: one lock file for each flow run, which its process holds until it ends, however it ends."""

import contextlib
from pathlib import Path
from typing import Any

from prefect.context import FlowRunContext

from ddpm.common.locks import LockBusyError, locked

RUNS = Path(".state/runs")
_held: dict[Path, contextlib.ExitStack] = {}
"""The locks that this process holds until it ends."""


def hold_liveness_lock() -> None:
    """Hold the liveness lock of this flow run until the process ends.

    The end of the flow's body would be too early: a run is finished when its final state is reported.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    path = (RUNS / str(context.flow_run.id)).resolve()
    if path not in _held:
        _held[path] = contextlib.ExitStack()
        _held[path].enter_context(locked(path, "another process runs this flow run"))


def is_alive(flow_run: Any) -> bool | None:
    """Return True if the process of a flow run is alive; None if it has no lock file in this checkout."""
    path = RUNS / str(flow_run)
    if not path.exists():
        return None
    try:
        with locked(path, "", patience=0):
            return False
    except LockBusyError:
        return True


def forget(flow_run: Any) -> None:
    """Remove the lock file of a finished run."""
    (RUNS / str(flow_run)).unlink(missing_ok=True)
