"""The lock around changes of a registered model: a parameter of every verb that changes one.

The default is a lock file, which excludes this user's other processes on this machine. Where several machines share a
tracking server, the flows pass a lock that also holds a lease of Prefect's server (`flows/registry_lock.py`). MLflow
has no locks: machines that share none are kept apart by the audit trail alone (`registry/aliases.py`).
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
    """This process was held up for so long that another one has taken over; it must not write any more."""


def lost(name: str, detail: str) -> str:
    """The message of a LostLockError."""
    return (
        f"this process was silent for too long and lost its lock on {name}: {detail}. Nothing was written since; "
        "look (`ddpm status`) and decide again."
    )


def _never_lost() -> None:
    """Accept: the kernel keeps a locked file until the process ends."""


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
