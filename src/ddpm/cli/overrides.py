"""`--set SECTION.KEY=VALUE`: parameters changed in params.yaml before a run.

The change is kept: params.yaml is what DVC hashes, git shows and the record names, and a copy that applied to one run
only would leave dvc.lock and the next run at odds. Nothing is written unless the whole result is valid.
"""

import copy
from collections.abc import Sequence
from typing import Any

import typer

from ddpm.cli import edit
from ddpm.common import terminal, yaml_file
from ddpm.common.locks import locked
from ddpm.config import params

SOURCE = "params.yaml with --set"


def apply(assignments: Sequence[str]) -> None:
    """Check the assignments and write them into params.yaml, keeping its comments.

    Raises ParamsError for a key or a value that is not valid, LockBusyError while a run is at work in this checkout.
    """
    from flows import RUN_LOCK

    changes = parse(assignments)
    with locked(RUN_LOCK, "params.yaml is not changed: another run is active in this checkout", patience=0):
        before = params.read_yaml(params.PARAMS_FILE)
        after = changed(before, changes)
        params.parse(after, SOURCE).require_files()
        if after == before:
            terminal.echo("params.yaml has these values already.")
            return
        path = params.PARAMS_FILE
        text = edit.changed(yaml_file.decode(path.read_bytes(), str(path)), changes)
        if yaml_file.parse(text, SOURCE) != after:  # a section that is shared by an alias
            raise params.ParamsError("--set cannot change what params.yaml shares by an alias (&, *). Edit the file.")
        edit.write(path, text)
    edit.table(edit.differences(edit.flat(before), edit.flat(after)))
    terminal.echo("params.yaml: changed, and kept so; `git checkout params.yaml` puts it back.")


def parse(assignments: Sequence[str]) -> dict[str, Any]:
    """Read `SECTION.KEY=VALUE`, with a YAML value, into {"SECTION.KEY": value}. Raises BadParameter, ParamsError."""
    changes: dict[str, Any] = {}
    for each in assignments:
        key, equals, value = each.partition("=")
        key = key.strip()
        section, _, name = key.partition(".")
        if not equals or not section or not name or "." in name:
            raise typer.BadParameter(f"{terminal.field(each)} is not SECTION.KEY=VALUE, such as train.lr=0.001.")
        if key in changes:
            raise typer.BadParameter(f"{terminal.field(key)} is set twice.")
        changes[key] = yaml_file.parse(value, f"--set {key}")
    return changes


def changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The sections with some keys changed. Raises ParamsError for a section that is not a mapping."""
    made = copy.deepcopy(values)
    for key, value in changes.items():
        section, _, name = key.partition(".")
        keys = made.setdefault(section, {})
        if not isinstance(keys, dict):
            raise params.ParamsError(f"{SOURCE} is not valid: {section} must be a section with keys.")
        keys[name] = value
    return made
