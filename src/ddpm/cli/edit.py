"""Change params.yaml without losing a comment, and show what differs."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddpm.common import terminal, yaml_file
from ddpm.common.files import write_text
from ddpm.common.values import flatten
from ddpm.config import params


def flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """`{"train": {"lr": 0.1}}` as `{"train.lr": 0.1}`."""
    sections = {name: keys for name, keys in value.items() if keys is not None}
    return dict(flatten(sections, depth=2))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, old value, new value) of every flat key that differs, in the order of `new`; None where a key is not."""
    keys = [*new, *(key for key in old if key not in new)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def changed(text: str, changes: Mapping[str, Any]) -> str:
    """The YAML text with some flat keys changed; comments, order and layout stay."""
    yaml = yaml_file.writer()
    document = yaml.load(text)  # ruamel's round trip: constructs no objects from tags
    for key, value in changes.items():
        section, name = key.split(".")
        if isinstance(value, list | tuple):
            document[section][name] = yaml.seq(value)
            document[section][name].fa.set_flow_style()
        else:
            document[section][name] = value
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return buffer.getvalue()


def write(path: Path, text: str) -> None:
    """Write a params file, checked first. Raises ParamsError; then the file is as it was."""
    params.parse(yaml_file.parse(text, f"the new {path}"), f"the new {path}")
    write_text(path, text)


def missing_files(text: str, changes: Mapping[str, Any]) -> list[str]:
    """What the parameters would name, with some flat keys changed, that is not there. Raises ParamsError."""
    source = "params.yaml with these changes"
    return params.parse(yaml_file.parse(changed(text, changes), source), source).missing_files()


def table(rows: Sequence[tuple[str, Any, Any]]) -> None:
    """Print what changes, by key, in colour on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False)
    for heading in ("key", "from", "to"):
        shown.add_column(heading)
    for key, old, new in rows:
        shown.add_row(
            Text(terminal.field(key)), Text(terminal.field(said(old)), "red"), Text(terminal.field(said(new)), "green")
        )
    Console().print(shown)


def said(value: Any) -> str:
    """A value as YAML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return '""' if value == "" else str(list(value) if isinstance(value, tuple) else value)
