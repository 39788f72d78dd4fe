"""The lock around changes of a registered model, a parameter of every function that changes one.

The default is a lock file, which excludes this user's other processes on this machine. Where several machines share a
tracking server, the flows pass a lock that also holds a lease of the Prefect server (`flows/registry_lock.py`). MLflow
has no locks: without a common lock, only the audit trail resolves conflicts (`registry/aliases.py`).
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ddpm.common import files
from ddpm.common.locks import locked
from ddpm.tracking import store

PATIENCE = 300.0
"""Seconds to wait for another holder."""


class LostLockError(ValueError):
    """This process was suspended for so long that another took over the lock; it must not write any more."""


def lost(name: str, detail: str) -> str:
    """Return the message of a LostLockError."""
    return (
        f"this process did not respond for too long and lost its lock on {name}: {detail}. Nothing was written since; "
        "check `ddpm status` and decide again."
    )


def _never_lost() -> None:
    """Do nothing: a file lock lasts until its process ends."""


@dataclass(frozen=True)
class Held:
    """A held lock on the registered model `name`. require: call before each write; raises LostLockError."""

    name: str
    require: Callable[[], None] = _never_lost


RegistryLock = Callable[[str], AbstractContextManager[Held]]
"""Takes the name of a registered model. Raises LockBusyError after PATIENCE seconds."""


@contextlib.contextmanager
def file_lock(name: str) -> Iterator[Held]:
    """Hold the lock file of `name` on this machine. Raises LockBusyError after PATIENCE seconds."""
    shared = Path(tempfile.gettempdir()) / f"ddpm-{os.getuid()}"
    folder = store.EMBEDDED.parent / "locks" if store.embedded() else shared
    path = folder / f"registry-{files.sha256_bytes(f'{store.tracking_uri()} {name}'.encode())[:16]}.lock"
    with locked(path, f"another process is changing {name} in the registry", patience=PATIENCE):
        yield Held(name)
