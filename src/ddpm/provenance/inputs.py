"""Inputs of a DVC stage, compared between the start and the end of its command.

DVC reads params.yaml and hashes a stage's dependencies only after its command has ended. Without this check, an edit
made meanwhile would be recorded in dvc.lock and in DVC's run cache as the origin of the results.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.values import flatten
from ddpm.config.params import read_yaml

STAGES_FILE = "dvc.yaml"
PARAMS_FILE = "params.yaml"
PASSED_OVER = ("__pycache__", ".DS_Store", "Thumbs.db")
"""As in .dvcignore."""
CODE = ".py"
ABSENT = object()


class InputsChangedError(ValueError):
    """Inputs of a stage were changed while it ran; its outputs were removed."""


@dataclass(frozen=True)
class Inputs:
    """Parameters by dotted name, and the identity of each file: SHA-256 of code; size, time and inode of others."""

    params: Mapping[str, Any]
    files: Mapping[str, Any]


@contextlib.contextmanager
def unchanged(stage: str, folder: Path = Path(), *, started: float | None = None) -> Iterator[None]:
    """Check that the inputs of `stage` in dvc.yaml do not change during the block.

    started: time at which this process began to import its code (seconds since the epoch); code edited since is
    refused. Raises InputsChangedError, after removing the stage's outputs, if inputs have changed. Without such a stage
    in `folder` nothing is checked.
    """
    definition = _definition(stage, folder)
    before = read(definition, folder)
    if late := [name for name in before.files if started and started < _edited(folder / name) <= time.time()]:
        raise InputsChangedError(
            f"{', '.join(late[:3])} was edited while stage {stage} was starting, and may have been imported before or "
            "after the edit. Run the same command again."
        )
    yield
    if changed := differences(before, read(definition, folder)):
        for out in _outputs(definition):
            files.remove(folder / out)
        lines = "\n".join(f"  {line}" for line in changed)
        raise InputsChangedError(
            f"inputs of stage {stage} were changed while it ran:\n{lines}\n"
            "DVC would record the new ones as the origin of the results, so the results were removed. "
            "Run the same command again; a training resumes from its checkpoint if its inputs are as before."
        )


def read(definition: Mapping[str, Any], folder: Path = Path()) -> Inputs:
    """Read the inputs of a stage, given its entry in dvc.yaml."""
    found: dict[str, Any] = {}
    for dependency in definition.get("deps", []):
        # `- path` or `- path: {options}`
        name = dependency if isinstance(dependency, str) else next(iter(dependency))
        found |= {path.relative_to(folder).as_posix(): _identity(path) for path in _files(folder / name)}
    return Inputs(dict(_params(definition, folder)), found)


def differences(before: Inputs, after: Inputs) -> list[str]:
    """List one line per parameter and file that differs."""
    lines = []
    for name in sorted(before.params.keys() | after.params.keys()):
        old, new = before.params.get(name, ABSENT), after.params.get(name, ABSENT)
        if old != new:
            lines.append(f"{name} was {_shown(old)}, now {_shown(new)}")
    names = sorted(before.files.keys() | after.files.keys())
    changed = [name for name in names if before.files.get(name) != after.files.get(name)]
    lines += [f"{name} was {_how(name, before, after)}" for name in changed[:5]]
    if len(changed) > 5:
        lines.append(f"and {len(changed) - 5:,} more files")
    return lines


def _definition(stage: str, folder: Path) -> Mapping[str, Any]:
    path = folder / STAGES_FILE
    if not path.exists():
        return {}
    found: Mapping[str, Any] = (read_yaml(path).get("stages") or {}).get(stage) or {}
    return found


def _params(definition: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the parameters of a stage: `- key` of params.yaml, `- file: [keys]`, or `- file:` for the whole file."""
    for entry in definition.get("params", []):
        wanted = {PARAMS_FILE: [entry]} if isinstance(entry, str) else entry
        for name, keys in wanted.items():
            content = read_yaml(folder / name)
            for key in keys or list(content):
                yield from flatten({f"{name}: {key}" if name != PARAMS_FILE else key: _at(content, key)})


def _at(content: Any, key: str) -> Any:
    """Return the value at a dotted key, or ABSENT."""
    for part in key.split("."):
        content = content.get(part, ABSENT) if isinstance(content, Mapping) else ABSENT
    return content


def _files(path: Path) -> Iterator[Path]:
    """Yield the file, or all files below the folder."""
    if not path.is_dir():
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in PASSED_OVER]
        yield from (Path(parent, name) for name in names if name not in PASSED_OVER)


def _identity(path: Path) -> Any:
    try:
        if path.suffix == CODE:
            return files.sha256_file(path)
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _edited(path: Path) -> float:
    """Return the modification time of a code file; 0 for any other file."""
    return path.stat().st_mtime if path.suffix == CODE and path.exists() else 0.0


def _outputs(definition: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("outs", "metrics", "plots"):
        for entry in definition.get(kind, []):
            yield entry if isinstance(entry, str) else next(iter(entry))


def _how(name: str, before: Inputs, after: Inputs) -> str:
    if before.files.get(name) is None:
        return "added"
    return "removed" if after.files.get(name) is None else "edited"


def _shown(value: Any) -> str:
    return "missing" if value is ABSENT else str(value)
