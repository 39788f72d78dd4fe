"""One process at a time changes a model in the registry: of one machine by a locked file, of several by the server.

MLflow has no locks, but it creates and renames registered models atomically. So the lock is a registered model without
versions, `NAME (lock)`, which only one process can create; its description says who holds it, and is renewed while it
works. A lock whose holder has died is taken after its lease, at once if it died on this machine. It is put aside under
another name first, which again only one process can do.
"""

import contextlib
import json
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm.common import files
from ddpm.common.locks import LockBusyError, locked
from ddpm.registry.audit import person
from ddpm.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE = 300.0  # seconds that a process waits for others
LEASE, RENEWED = 60.0, 10.0  # seconds that a holder may be silent, and between two signs of its life
PAUSE = 0.2
BOOT = Path("/proc/sys/kernel/random/boot_id")


class LostLockError(ValueError):
    """This process was silent for longer than its lease, and another one has taken its lock."""


@dataclass(frozen=True)
class Note:
    """What a lock says of its holder. place: the locked file that it held too, on which boot of which machine."""

    token: str
    who: str
    place: str
    lease: float
    beat: int = 0

    @property
    def text(self) -> str:
        """As the lock's description."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Held:
    """A lock that this process holds. connection: None where the file alone is the lock."""

    name: str
    connection: "MlflowClient | None" = None
    token: str = ""

    def require(self) -> None:
        """Ask before each write: a process that was held up (paused, swapped out) may have lost its lock.

        Raises LostLockError.
        """
        if self.connection is None:
            return
        there = _read(self.connection, lock_name(self.name))
        if there is None or there.token != self.token:
            by = f" {there.who} holds it now." if there else ""
            raise LostLockError(
                f"this process was silent for too long and lost its lock on {self.name}.{by} "
                "Nothing was written since; look (`ddpm status`) and decide again."
            )


def lock_name(name: str) -> str:
    """The registered model that is the lock; no name of a model may hold a blank."""
    return f"{name} (lock)"


@contextlib.contextmanager
def registry_lock(name: str) -> Iterator[Held]:
    """Be the only process that registers, prunes or moves aliases of `name` on its tracking server.

    Raises LockBusyError after PATIENCE seconds; it says who works.
    """
    uri = store.tracking_uri()
    alone = store.embedded()
    folder = store.EMBEDDED.parent / "locks" if alone else Path(tempfile.gettempdir()) / f"ddpm-{os.getuid()}"
    path = folder / f"registry-{files.sha256_bytes(f'{uri} {name}'.encode())[:16]}.lock"
    with locked(path, f"another process is changing {name} in the registry", patience=PATIENCE):
        if alone:
            yield Held(name)
        else:
            with _served(name, _place(path)) as held:
                yield held


@contextlib.contextmanager
def _served(name: str, place: str) -> Iterator[Held]:
    """Hold the server's lock."""
    connection, lock = store.client(), lock_name(name)
    mine = Note(uuid.uuid4().hex, person(), place, LEASE)
    _take(connection, name, mine)
    try:
        with _renewed(connection, lock, mine):
            yield Held(name, connection, mine.token)
    except BaseException:
        with contextlib.suppress(Exception):  # what went wrong inside is what has to be told; a lock ends by itself
            _release(connection, lock, mine)
        raise
    _release(connection, lock, mine)


def _take(connection: "MlflowClient", name: str, mine: Note) -> None:
    """Create the lock, waiting for its holder. Only this machine's own clock counts, and only intervals of it."""
    lock, deadline = lock_name(name), time.monotonic() + PATIENCE
    seen: Note | None = None
    since = 0.0
    while not _created(connection, lock, mine):
        there, now = _read(connection, lock), time.monotonic()
        if there is None:
            continue  # it was freed meanwhile
        if there != seen:
            seen, since = there, now
        died_here = bool(mine.place) and there.place == mine.place  # its file is locked by this process now
        if died_here or now - since > there.lease:
            _put_aside(connection, lock, there)
        elif now > deadline:
            raise LockBusyError(f"{there.who} is changing {name} in the registry. Wait until it ends, then try again.")
        else:
            time.sleep(PAUSE)


def _created(connection: "MlflowClient", lock: str, mine: Note) -> bool:
    """Whether the lock is this process's now."""
    from mlflow.exceptions import MlflowException

    try:
        connection.create_registered_model(lock, description=mine.text)
    except MlflowException as error:
        there = _read(connection, lock)
        if there is None and error.error_code not in {"RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"}:
            raise  # else it was there, and was freed while MLflow looked
        return there is not None and there.token == mine.token  # the answer was lost, and the client asked again
    return True


def _put_aside(connection: "MlflowClient", lock: str, dead: Note) -> None:
    """Free the name of a dead holder's lock. Of several that try, one succeeds; the others look again."""
    from mlflow.exceptions import MlflowException

    aside = f"{lock}, left by {dead.token}"
    try:
        connection.rename_registered_model(lock, aside)
    except MlflowException:
        there = _read(connection, lock)
        if there is not None and there.token == dead.token:
            raise
        return
    moved = _read(connection, aside)
    if moved is not None and moved.token != dead.token:
        # Between look and rename another took the dead lock, ended, and a third one works: give its lock back. If a
        # fourth was faster, `require` tells the third.
        with contextlib.suppress(MlflowException):
            connection.rename_registered_model(aside, lock)


@contextlib.contextmanager
def _renewed(connection: "MlflowClient", lock: str, mine: Note) -> Iterator[None]:
    """Signs of life during the block. None is under way after it, which could fall on another holder's lock."""
    stop = threading.Event()
    thread = threading.Thread(target=_renew, args=(connection, lock, mine, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _renew(connection: "MlflowClient", lock: str, mine: Note, stop: threading.Event) -> None:
    """One sign after another, until the lock is released or lost."""
    beat = 0
    while not stop.wait(RENEWED):
        with contextlib.suppress(Exception):  # a sign that does not arrive is what the lease is for
            there = _read(connection, lock)
            if there is None or there.token != mine.token:
                return
            beat += 1
            connection.update_registered_model(lock, description=replace(mine, beat=beat).text)


def _release(connection: "MlflowClient", lock: str, mine: Note) -> None:
    """Delete the lock, if it still is this process's, and what was put aside."""
    there = _read(connection, lock)
    if there is not None and there.token == mine.token:
        _delete(connection, lock)
    for each in connection.search_registered_models(f"name LIKE '{lock}, %'"):
        _delete(connection, each.name)


def _delete(connection: "MlflowClient", name: str) -> None:
    """Delete a registered model, or find that another process was faster."""
    from mlflow.exceptions import MlflowException

    try:
        connection.delete_registered_model(name)
    except MlflowException:
        if _read(connection, name) is not None:
            raise


def _read(connection: "MlflowClient", lock: str) -> Note | None:
    """Who holds it; None for nobody."""
    from mlflow.exceptions import MlflowException

    try:
        found = connection.get_registered_model(lock)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return Note(**json.loads(found.description or "{}"))


def _place(path: Path) -> str:
    """The locked file, as no other machine or container has it; "" where that is not known."""
    if not BOOT.is_file():
        return ""
    state = path.stat()
    return f"{BOOT.read_text().strip()} {state.st_dev} {state.st_ino}"
