"""Presets: files of presets/ with the parameters that differ from the defaults. The only reader of that folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm.config import params, render

FOLDER = Path("presets")


def paths(folder: Path = FOLDER) -> dict[str, Path]:
    """The presets by name, in alphabetical order."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(path: Path) -> params.Params:
    """All parameters of a preset. Raises ParamsError."""
    return params.parse(_with_kinds(params.read_yaml(path)), str(path), complete=False)


def values(path: Path) -> dict[str, Any]:
    """All parameters of a preset as plain values, as `params.read_yaml` gives those of a complete file."""
    return load(path).model_dump(mode="json")


def text(path: Path) -> str:
    """The complete, commented params.yaml of a preset. Raises ParamsError."""
    return render.text(load(path), header(path))


def header(path: Path) -> list[str]:
    """The comment at the head of a preset: what it is for, then what it needs."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines


def _with_kinds(overlay: Mapping[str, Any]) -> dict[str, Any]:
    """The overlay, with the default kind of a section where it changes keys of the section without naming a kind."""
    found = dict(overlay)
    for name, field in params.Params.model_fields.items():
        if (kind := field.discriminator) and isinstance(section := found.get(name), dict):
            found[name] = {kind: getattr(field.get_default(call_default_factory=True), str(kind)), **section}
    return found
