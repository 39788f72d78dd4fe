"""Putting other data in the place of `data`, all or nothing.

The new data are made beside the old ones, as `data.incoming`, looked at, and then change places with `data`; whatever
goes wrong, or Ctrl-C, leaves the checkout as it was. After a kill, the next call mends what it finds (`recover`).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ddpm.files import write_text

DATA, POINTER = Path("data"), Path("data.dvc")
INCOMING, INCOMING_POINTER = Path("data.incoming"), Path("data.incoming.dvc")
BEFORE, BEFORE_POINTER = Path(".state/data.before"), Path(".state/data.before.yaml")
EMBEDDED = Path("assets/datasets")
IGNORE = Path(".gitignore")


def embedded() -> list[str]:
    """Names of the sets that come with the project."""
    return sorted(path.stem for path in EMBEDDED.glob("*.yaml"))


def embedded_hash(name: str) -> str:
    """What data.dvc says of an embedded set."""
    told = YAML(typ="safe", pure=True).load((EMBEDDED / f"{name}.yaml").read_text(encoding="utf-8"))
    return str(told["outs"][0]["md5"])


def pointer() -> dict[str, Any]:
    """What data.dvc says; empty when there is none."""
    return dict(YAML(typ="safe", pure=True).load(POINTER.read_text(encoding="utf-8"))) if POINTER.exists() else {}


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
    """Run DVC; its output. Raises ValueError with what DVC said; on a terminal it says it there, with its progress."""
    seen = sys.stderr.isatty()
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        stdout=subprocess.PIPE,
        stderr=None if seen else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "DVC says why, above." if seen else done.stderr.strip()
        raise ValueError(f"`dvc {' '.join(arguments)}` failed, and nothing was changed. {said}")
    return done.stdout


def fetch(source: str) -> None:
    """Bring the data beside: an embedded set by its name, or whatever `dvc import-url` takes."""
    if source in embedded():
        text = (EMBEDDED / f"{source}.yaml").read_text(encoding="utf-8")
        write_text(INCOMING_POINTER, _renamed(text, str(INCOMING)))
        dvc("pull", str(INCOMING_POINTER))
    else:
        dvc("import-url", source, str(INCOMING))


def swap(source: str) -> None:
    """Let the data beside take the place of `data`. The old ones are kept until the last step is done."""
    text = _final_pointer(source)
    write_text(BEFORE_POINTER, POINTER.read_text(encoding="utf-8") if POINTER.exists() else "")
    if DATA.exists():
        os.replace(DATA, BEFORE)
    os.replace(INCOMING, DATA)
    write_text(POINTER, text)
    BEFORE_POINTER.unlink()  # from here on, it counts


def _final_pointer(source: str) -> str:
    """The text of data.dvc for what lies beside."""
    if source in embedded():
        return (EMBEDDED / f"{source}.yaml").read_text(encoding="utf-8")
    from dvc.repo import Repo  # the library, because only it can say the checksum of a stage

    INCOMING_POINTER.write_text(_renamed(INCOMING_POINTER.read_text(encoding="utf-8"), str(DATA)), encoding="utf-8")
    with Repo(".") as repo:
        stage: Any = repo.stage.load_one(str(INCOMING_POINTER))
        stage.md5 = stage.compute_md5()
        stage.dump()
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
def clean() -> Iterator[None]:
    """Around all of it: begin and end with nothing left beside."""
    recover()
    try:
        yield
    finally:
        recover()


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
