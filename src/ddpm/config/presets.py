"""Presets: files of presets/ with the parameters that differ from the defaults. The only reader of that folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm.config import params, render

FOLDER = Path("presets")


def paths(folder: Path = FOLDER) -> dict[str, Path]:
    """Return the presets by name, in alphabetical order."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(path: Path) -> params.Params:
    """Load all parameters of a preset. Raises ParamsError."""
    return params.parse(_with_kinds(params.read_yaml(path)), str(path), complete=False)


def values(path: Path) -> dict[str, Any]:
    """Load all parameters of a preset as plain values, as `params.read_yaml` does for a complete file."""
    return load(path).model_dump(mode="json")


def text(path: Path) -> str:
    """Render the complete, commented params.yaml of a preset. Raises ParamsError."""
    return render.text(load(path), header(path))


def header(path: Path) -> list[str]:
    """Read the comment at the head of a preset: its purpose, then its requirements."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines


def _with_kinds(overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Add a section's default kind to the overlay if it changes the section's keys without naming a kind."""
    found = dict(overlay)
    for name, field in params.Params.model_fields.items():
        if (kind := field.discriminator) and isinstance(section := found.get(name), dict):
            found[name] = {kind: getattr(field.get_default(call_default_factory=True), str(kind)), **section}
    return found
