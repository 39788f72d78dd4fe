"""Atomic replacement of `data`, by `ddpm data use` or the scheduled update of its source.

The new data are fetched to `data.incoming`, checked, and swapped in by renames; until then `data` is not touched. A
journal is written before the first rename, so after a kill the next call of `recover` restores the old data. A lock
admits one process at a time (`exclusive`).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.locks import locked
from ddpm.data import dvc, pointer
from ddpm.data.pointer import DATA, POINTER

INCOMING, INCOMING_POINTER = Path("data.incoming"), Path("data.incoming.dvc")
BEFORE = Path(".state/data.before")
JOURNAL = Path(".state/update.json")
"""During a swap: the previous text of data.dvc, and whether `data` existed."""
LOCK = Path(".state/update.lock")
IGNORE = Path(".gitignore")


@contextmanager
def exclusive(patience: float = 0.0) -> Iterator[int]:
    """Hold the lock for changes of `data`; yield its descriptor, which DVC inherits.

    Raises LockBusyError if another process holds it for `patience` seconds.
    """
    with locked(LOCK, "another command or run is changing the data", patience=patience) as lock:
        os.set_inheritable(lock, True)
        yield lock


@contextmanager
def clean(patience: float = 0.0) -> Iterator[int]:
    """Hold the lock, recovering before and after the block; yield the lock's descriptor."""
    with exclusive(patience) as lock:
        recover()
        try:
            yield lock
        finally:
            recover()


def unsaved() -> str:
    """Return the reason why the current data could not be restored once replaced; empty if they could."""
    if not DATA.exists():
        return ""
    if not POINTER.exists():
        return "data.dvc does not exist"
    state = json.loads(dvc.run("data", "status", "--json") or "{}")
    names = {f"{DATA}/", str(DATA)}
    if names & {path for kind in ("modified", "added") for path in state.get("uncommitted", {}).get(kind, [])}:
        return "it was changed since `dvc add`"
    return "DVC's cache has no copy" if names & set(state.get("not_in_cache", [])) else ""


def fetch(source: str, *, is_embedded: bool = False) -> None:
    """Fetch new data to `data.incoming`: an embedded set by name, or a source for `dvc import-url`."""
    if is_embedded:
        files.write_text(INCOMING_POINTER, pointer.with_output(pointer.embedded_text(source), INCOMING))
        dvc.run("pull", str(INCOMING_POINTER))
    else:
        dvc.run("import-url", "--", source, str(INCOMING))


def write_incoming_pointer() -> None:
    """Write `data.incoming.dvc` as a copy of data.dvc, for `dvc update` to work on in its place."""
    text = POINTER.read_text(encoding="utf-8")
    files.write_text(INCOMING_POINTER, pointer.with_output(text, INCOMING))


def swap(source: str = "", *, is_embedded: bool = False) -> None:
    """Replace `data` and data.dvc by the fetched ones. The old data are kept until the last step is done."""
    text = pointer.embedded_text(source) if is_embedded else _final_pointer()
    files.write_json(JOURNAL, {"pointer": _text(POINTER), "present": DATA.exists()})
    if DATA.exists():
        os.replace(DATA, BEFORE)
    os.replace(INCOMING, DATA)
    files.write_text(POINTER, text)  # commits the swap
    JOURNAL.unlink()


def _final_pointer() -> str:
    """Return the text of data.dvc for the imported data."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # only the library computes the checksum of a stage

    files.write_text(INCOMING_POINTER, pointer.with_output(INCOMING_POINTER.read_text(encoding="utf-8"), DATA))
    try:
        with Repo(".") as repo:
            stage: Any = repo.stage.load_one(str(INCOMING_POINTER))
            stage.md5 = stage.compute_md5()
            stage.dump()
    except DvcException as error:
        raise ValueError(f"DVC could not record the new data, and nothing was changed: {error}") from error
    return INCOMING_POINTER.read_text(encoding="utf-8")


def interrupted() -> bool:
    """Return True if a replacement was killed or is in progress in another process."""
    return INCOMING_POINTER.exists() or INCOMING.exists() or JOURNAL.exists()


def recover() -> None:
    """Undo a swap that did not reach its last step, and remove temporary files.

    A data.dvc that differs from the journal's is either the new one, so the swap was complete, or was changed after a
    kill. In both cases `data` stays as it is.
    """
    if JOURNAL.exists():
        journal = files.read_json(JOURNAL)
        if _text(POINTER) == journal["pointer"]:
            _restore(was_present=journal["present"])
        JOURNAL.unlink()
    files.remove(BEFORE)
    files.remove(INCOMING)
    files.remove(INCOMING_POINTER)
    if IGNORE.exists() and f"/{INCOMING}\n" in (text := IGNORE.read_text(encoding="utf-8")):
        files.write_text(IGNORE, text.replace(f"/{INCOMING}\n", ""))


def _restore(*, was_present: bool) -> None:
    """Restore `data` to its state before the swap."""
    if BEFORE.exists():
        files.remove(DATA)
        os.replace(BEFORE, DATA)
    elif not was_present and not INCOMING.exists():
        files.remove(DATA)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
