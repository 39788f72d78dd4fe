"""Locks between the processes of one machine. The kernel frees a lock when its holder dies, so none is ever stale."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path


class LockBusyError(ValueError):
    """Another process holds the lock; the message names it and the remedy."""


def acquire(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder without waiting; False if another process holds the lock.

    The lock lasts until all copies of the descriptor are closed, including those in child processes.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path, what: str, *, patience: float = 60.0) -> Iterator[int]:
    """Hold the lock file `path` during the block; yield its descriptor. Raises LockBusyError after `patience` seconds.

    what: the beginning of that error's message, which says what the holder does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        deadline = time.monotonic() + patience
        while not acquire(file.fileno()):
            if time.monotonic() >= deadline:
                raise LockBusyError(f"{what} ({path} is locked). Wait until it ends, then run this again.")
            time.sleep(0.05)
        yield file.fileno()
