"""Locks between the processes of one machine. The kernel frees one when its holder dies, so none is ever stale."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path


class LockBusyError(ValueError):
    """Another process holds the lock; the message names it and the remedy."""


@contextlib.contextmanager
def locked(path: Path, what: str, *, patience: float = 60.0) -> Iterator[int]:
    """Hold the lock file `path` during the block; yield its descriptor. Raises LockBusyError after `patience` seconds.

    what: who holds it, for the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise LockBusyError(
                        f"{what} ({path} is locked). Wait until it ends, then run this again."
                    ) from error
                time.sleep(0.05)
        yield file.fileno()
