"""The GPU slot for commands outside of flows: one training per GPU among all that use the same Prefect server."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from ddpm.runtime import hardware
from flows.service import prefect_server

GPU = "gpu"
"""The concurrency limit that stages with `meta: {slot: gpu}` hold, too."""


@contextlib.contextmanager
def gpu_slot(log: Callable[[str], None]) -> Iterator[None]:
    """Hold the GPU slot during the block, if this machine has a GPU and a Prefect server is configured or runs here.

    Waits until the slot is free, and logs that it waits. Raises ConnectionError if the server does not answer, or if it
    ended the lease because it could not be renewed.
    """
    server = prefect_server.find() if hardware.gpu_present() else None
    if server is None:
        yield
        return
    server.use()
    try:
        server.wait()
    except prefect_server.ServerError as error:
        raise ConnectionError(str(error)) from error
    with contextlib.ExitStack() as held:
        _enter(held, server.page, log)
        try:
            yield
        except asyncio.CancelledError as error:  # from the thread that renews the lease
            raise ConnectionError(
                f"the GPU slot of {server.page} was lost, because its lease could not be renewed. What was running has "
                "been stopped; run the same command to continue."
            ) from error


def _enter(held: contextlib.ExitStack, page: str, log: Callable[[str], None]) -> None:
    """Take the slot; log if it is not free at once."""
    from flows import concurrency
    from flows.tasks.stage import SLOT_LEASE

    try:
        held.enter_context(concurrency.hold_slot(GPU, lease=SLOT_LEASE, patience=1.0))
    except TimeoutError:
        log(f"waiting for the GPU: another run holds the slot `{GPU}` of {page}")
        held.enter_context(concurrency.hold_slot(GPU, lease=SLOT_LEASE))
