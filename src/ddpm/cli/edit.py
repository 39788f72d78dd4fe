"""Write params.yaml after validation, and show differences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddpm.common import terminal, yaml_file
from ddpm.common.files import write_text
from ddpm.common.values import flatten
from ddpm.config import params


def flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten `{"train": {"lr": 0.1}}` to `{"train.lr": 0.1}`."""
    sections = {name: keys for name, keys in value.items() if keys is not None}
    return dict(flatten(sections, depth=2))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List (key, old value, new value) of flat keys that differ, in the order of `new`; None for a missing key."""
    keys = [*new, *(key for key in old if key not in new)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def write(path: Path, text: str) -> None:
    """Validate and write a params file. Raises ParamsError without changing the file."""
    params.parse(yaml_file.parse(text, f"the new {path}"), f"the new {path}")
    write_text(path, text)


def missing_files(text: str) -> list[str]:
    """List the missing files that the parameters of a text refer to. Raises ParamsError."""
    source = "params.yaml with these changes"
    return params.parse(yaml_file.parse(text, source), source).missing_files()


def table(rows: Sequence[tuple[str, Any, Any]]) -> None:
    """Print changes by key, in colour on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False)
    for heading in ("key", "from", "to"):
        shown.add_column(heading)
    for key, old, new in rows:
        before, after = Text(terminal.field(yaml_value(old)), "red"), Text(terminal.field(yaml_value(new)), "green")
        shown.add_row(Text(terminal.field(key)), before, after)
    Console().print(shown)


def yaml_value(value: Any) -> str:
    """Format a value as YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return '""' if value == "" else str(list(value) if isinstance(value, tuple) else value)
