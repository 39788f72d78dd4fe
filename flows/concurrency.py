"""Global concurrency limits of the Prefect server that have one slot, for resources of one process at a time."""

import contextlib
from collections.abc import Iterator
from uuid import UUID


@contextlib.contextmanager
def hold_slot(name: str, *, lease: float, patience: float | None = None) -> Iterator[UUID]:
    """Hold the only slot of the limit `name`, which is created if missing; yield the ID of its lease.

    lease: seconds after which the slot of a killed process is free again; a running process renews it. A lost lease
    raises asyncio.CancelledError in the block. Raises TimeoutError after `patience` seconds (None: wait indefinitely).
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.concurrency.context import ConcurrencyContext
    from prefect.concurrency.sync import concurrency
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            with contextlib.suppress(ObjectAlreadyExists):  # another process was faster
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    # Prefect notes the lease in the innermost ConcurrencyContext, which also frees it if the block is cancelled.
    with (
        ConcurrencyContext() as granted,
        concurrency(name, occupy=1, timeout_seconds=patience, lease_duration=lease, strict=True),
    ):
        yield granted.cleanup_lease_ids[0]
