"""Putting other data in the place of `data`, all or nothing.

The new data are made beside the old ones, as `data.incoming`, looked at, and then change places with `data`; whatever
goes wrong, or Ctrl-C, leaves the checkout as it was. After a kill, the next call mends what it finds (`recover`).
One process at a time does this (`alone`).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ddpm.common import yaml_file
from ddpm.common.files import write_text
from ddpm.common.locks import locked

DATA, POINTER = Path("data"), Path("data.dvc")
INCOMING, INCOMING_POINTER = Path("data.incoming"), Path("data.incoming.dvc")
BEFORE, BEFORE_POINTER = Path(".state/data.before"), Path(".state/data.before.yaml")
EMBEDDED = Path("assets/datasets")
IGNORE = Path(".gitignore")
LOCK = Path(".state/update.lock")
"""Held by whoever changes `data`: a command here, or a run that fetches the source anew (flows/source.py)."""
CHATTER = re.compile(r"\s*|Having any troubles\?.*|.*https?://dvc\.org/\S*|.*https?://error\.dvc\.org/\S*")


def embedded() -> list[str]:
    """Names of the sets that come with the project."""
    return sorted(path.stem for path in EMBEDDED.glob("*.yaml"))


def embedded_hash(name: str) -> str:
    """What data.dvc says of an embedded set."""
    told = YAML(typ="safe", pure=True).load((EMBEDDED / f"{name}.yaml").read_text(encoding="utf-8"))
    return str(told["outs"][0]["md5"])


def pointer() -> dict[str, Any]:
    """What data.dvc says; empty when there is none. Raises ValueError when it is no file of DVC."""
    if not POINTER.exists():
        return {}
    told = yaml_file.read(POINTER)
    outs, sources = (told.get("outs"), told.get("deps", [])) if isinstance(told, dict) else (None, [])
    rows = [*outs, *sources] if isinstance(outs, list) and outs and isinstance(sources, list) else [None]
    if not all(isinstance(row, dict) and isinstance(row.get("path"), str) for row in rows):
        raise ValueError(f"{POINTER} is damaged: it names no data. Bring it back: `git checkout {POINTER}`.")
    return dict(told)


def unsaved() -> str:
    """Why `data` could not be brought back if it were replaced; empty when it could."""
    if not DATA.exists():
        return ""
    if not POINTER.exists():
        return "data.dvc does not exist"
    state = json.loads(dvc("data", "status", "--json") or "{}")
    theirs = {f"{DATA}/", str(DATA)}
    if theirs & {path for kind in ("modified", "added") for path in state.get("uncommitted", {}).get(kind, [])}:
        return "it was changed since"
    return "DVC's cache has no copy" if theirs & set(state.get("not_in_cache", [])) else ""


def dvc(*arguments: str) -> str:
    """Run DVC; its output. Raises ValueError with what DVC said; on a terminal it says it there, with its progress.

    DVC ends with this process, and it inherits the lock (`close_fds`): the next command waits until both have ended.
    """
    seen = sys.stderr.isatty()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ddpm.runtime.parent", str(os.getpid()), "dvc", *arguments],
        stdout=subprocess.PIPE,
        stderr=None if seen else subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        close_fds=False,
    )
    if done.returncode:
        said = "DVC says why, above." if seen else "\n".join(_words(done.stderr))
        raise ValueError(f"`dvc {' '.join(arguments)}` failed, and nothing was changed. {said}")
    return done.stdout


def _words(said: str) -> list[str]:
    """What DVC said, without its advertisements."""
    return [line for line in said.splitlines() if not CHATTER.fullmatch(line)]


def fetch(source: str, *, is_embedded: bool = False) -> None:
    """Bring the data beside: an embedded set by its name, or whatever `dvc import-url` takes."""
    if is_embedded:
        text = (EMBEDDED / f"{source}.yaml").read_text(encoding="utf-8")
        write_text(INCOMING_POINTER, _renamed(text, str(INCOMING)))
        dvc("pull", str(INCOMING_POINTER))
    else:
        dvc("import-url", "--", source, str(INCOMING))


def swap(source: str, *, is_embedded: bool = False) -> None:
    """Let the data beside take the place of `data`. The old ones are kept until the last step is done."""
    text = (EMBEDDED / f"{source}.yaml").read_text(encoding="utf-8") if is_embedded else _final_pointer()
    write_text(BEFORE_POINTER, POINTER.read_text(encoding="utf-8") if POINTER.exists() else "")
    if DATA.exists():
        os.replace(DATA, BEFORE)
    os.replace(INCOMING, DATA)
    write_text(POINTER, text)
    BEFORE_POINTER.unlink()  # from here on, it counts


def _final_pointer() -> str:
    """The text of data.dvc for what was imported beside."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo  # the library, because only it can say the checksum of a stage

    INCOMING_POINTER.write_text(_renamed(INCOMING_POINTER.read_text(encoding="utf-8"), str(DATA)), encoding="utf-8")
    try:
        with Repo(".") as repo:
            stage: Any = repo.stage.load_one(str(INCOMING_POINTER))
            stage.md5 = stage.compute_md5()
            stage.dump()
    except DvcException as error:
        raise ValueError(f"DVC could not note the new data, and nothing was changed: {error}") from error
    return INCOMING_POINTER.read_text(encoding="utf-8")


def _renamed(text: str, path: str) -> str:
    """A DVC file's text with another output path."""
    head, mark, tail = text.partition("outs:")
    lines = [
        f"{line[: line.index('path:')]}path: {path}" if line.strip().removeprefix("- ").startswith("path:") else line
        for line in tail.split("\n")
    ]
    return head + mark + "\n".join(lines)


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock for changes of `data`. Raises LockBusyError at once when another process is at it."""
    with locked(LOCK, "another command or run is changing the data", patience=0) as lock:
        os.set_inheritable(lock, True)  # for `dvc`
        yield


@contextmanager
def clean() -> Iterator[None]:
    """Around all of it: alone, and beginning and ending with nothing left beside."""
    with alone():
        recover()
        try:
            yield
        finally:
            recover()


def interrupted() -> bool:
    """Whether a switch was killed, or is under way in another process."""
    return INCOMING_POINTER.exists() or INCOMING.exists() or BEFORE_POINTER.exists()


def recover() -> None:
    """Undo a switch that did not come to its end, and leave nothing beside."""
    if BEFORE_POINTER.exists():
        if BEFORE.exists():
            remove(DATA)
            os.replace(BEFORE, DATA)
        if text := BEFORE_POINTER.read_text(encoding="utf-8"):
            write_text(POINTER, text)
        BEFORE_POINTER.unlink()
    remove(BEFORE)
    remove(INCOMING)
    INCOMING_POINTER.unlink(missing_ok=True)
    if IGNORE.exists() and f"/{INCOMING}\n" in (text := IGNORE.read_text(encoding="utf-8")):
        write_text(IGNORE, text.replace(f"/{INCOMING}\n", ""))


def remove(path: Path) -> None:
    """Delete a folder or a file, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
