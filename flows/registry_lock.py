"""The registry lock of flows: the lock file and, with a tracking server, a lease of Prefect's server.

The lease excludes the flows of all other machines that use the same Prefect server; the lock file excludes the commands
of this machine. A checkout with an embedded record needs the lock file only.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from flows import concurrency

if TYPE_CHECKING:
    from ddpm.registry.lock import Held, LostLockError

LEASE = 60.0
"""Seconds, the minimum that Prefect allows; it frees the slot of a killed holder up to 15 s after the lease ends."""
GONE = 410


@contextlib.contextmanager
def registry_lock(name: str) -> Iterator["Held"]:
    """Hold the lock file of `name` and, with a tracking server, the lease. Raises LockBusyError and LostLockError."""
    from ddpm.registry.lock import file_lock
    from ddpm.tracking import store

    with file_lock(name) as held:
        if store.embedded():
            yield held
        else:
            with _leased(name) as leased:
                yield leased


@contextlib.contextmanager
def _leased(name: str) -> Iterator["Held"]:
    from ddpm.common.locks import LockBusyError
    from ddpm.registry import lock

    limit = f"registry-{name}"
    with contextlib.ExitStack() as slot:
        try:
            lease = slot.enter_context(concurrency.hold_slot(limit, lease=LEASE, patience=lock.PATIENCE))
        except TimeoutError as error:
            raise LockBusyError(
                f"another process is changing {name} in the registry: it holds the concurrency limit {limit} of "
                f"Prefect's server{_running_flows()}. Wait until it ends, then run this again."
            ) from error
        try:
            yield lock.Held(name, lambda: _confirm(name, lease))
        except asyncio.CancelledError as error:  # the thread that renews the lease found it lost
            raise _lost(name) from error


def _confirm(name: str, lease: UUID) -> None:
    """Renew the lease. Raises LostLockError if the server has ended it, so that others may hold the slot."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        with get_client(sync_client=True) as client:
            client.renew_concurrency_lease(lease, LEASE)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != GONE:
            raise
        raise _lost(name) from error


def _lost(name: str) -> "LostLockError":
    from ddpm.registry import lock

    return lock.LostLockError(lock.lost(name, "its lease of Prefect's server ended"))


def _running_flows() -> str:
    """A list of the other running flow runs; one of them holds the limit, but Prefect does not say which."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.runtime import flow_run

    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=running, limit=10)
    names = sorted(f"{each.name} ({each.id})" for each in found if str(each.id) != flow_run.id)
    return f" (running there: {', '.join(names)})" if names else ""
