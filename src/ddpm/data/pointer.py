"""`data.dvc`, which names data version and import source of this checkout, and the embedded sets."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ddpm.common import yaml_file

DATA, POINTER = Path("data"), Path("data.dvc")
EMBEDDED = Path("assets/datasets")


@dataclass(frozen=True)
class Version:
    """The data that a `.dvc` file names: DVC's hash and the number of files (0: empty)."""

    md5: str
    count: int


def read(path: Path = POINTER) -> dict[str, Any]:
    """Read a `.dvc` file; an empty mapping if it does not exist. Raises ValueError if it is damaged."""
    if not path.exists():
        return {}
    content = yaml_file.read(path)
    outs, sources = (content.get("outs"), content.get("deps", [])) if isinstance(content, dict) else (None, [])
    rows = [*outs, *sources] if isinstance(outs, list) and outs and isinstance(sources, list) else [None]
    if not all(isinstance(row, dict) and isinstance(row.get("path"), str) for row in rows):
        raise ValueError(f"{path} is damaged: it names no data. Restore it: `git checkout {path}`.")
    return dict(content)


def output(path: Path = POINTER) -> dict[str, Any]:
    """Return the first output of a `.dvc` file; an empty mapping if there is no file."""
    found: dict[str, Any] = read(path).get("outs", [{}])[0]
    return found


def sources(path: Path = POINTER) -> list[dict[str, Any]]:
    """Return the import sources; empty for data added with `dvc add`."""
    found: list[dict[str, Any]] = read(path).get("deps", [])
    return found


def version(path: Path = POINTER) -> Version:
    """Return the version in a `.dvc` file. A single file, such as an archive, counts as one unless it is empty."""
    out = output(path)
    return Version(str(out["md5"]), int(out.get("nfiles", 1)) if out.get("size") else 0)


def with_output(text: str, path: Path) -> str:
    """Set `path` as the output in the text of a `.dvc` file; comments and other fields stay."""
    yaml = YAML(typ="rt")
    yaml.width = 4096
    content = yaml.load(text)  # ruamel's round trip: constructs no objects from tags
    content["outs"][0]["path"] = str(path)
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def embedded() -> list[str]:
    """List the names of the embedded data sets."""
    return sorted(path.stem for path in EMBEDDED.glob("*.yaml"))


def embedded_text(name: str) -> str:
    """Read the `data.dvc` of an embedded set."""
    return (EMBEDDED / f"{name}.yaml").read_text(encoding="utf-8")


def embedded_hash(name: str) -> str:
    """Return DVC's hash of an embedded set."""
    return version(EMBEDDED / f"{name}.yaml").md5
