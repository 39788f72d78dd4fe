"""`--set SECTION.KEY=VALUE`: change parameters in params.yaml before a run.

The change is permanent, because DVC hashes params.yaml, git tracks it and the record names it: with a copy for one run
only, dvc.lock and the next run would disagree. Nothing is written unless the whole result is valid.
"""

from collections.abc import Sequence
from typing import Any

import typer

from ddpm.cli import edit
from ddpm.common import terminal, yaml_file
from ddpm.common.locks import locked
from ddpm.config import changes as config_changes
from ddpm.config import params

SOURCE = "params.yaml with --set"


def apply(assignments: Sequence[str]) -> None:
    """Validate the assignments and write them to params.yaml, keeping its comments.

    Raises ParamsError for an invalid key or value, LockBusyError during a run in this checkout.
    """
    from flows import RUN_LOCK

    changes = parse(assignments)
    with locked(RUN_LOCK, "params.yaml is not changed: another run is active in this checkout", patience=0):
        before = params.read_yaml(params.PARAMS_FILE)
        after = config_changes.in_values(before, changes, SOURCE)
        params.parse(after, SOURCE).require_files()
        if after == before:
            terminal.echo("params.yaml already has these values.")
            return
        path = params.PARAMS_FILE
        text = config_changes.in_text(yaml_file.decode(path.read_bytes(), str(path)), changes)
        if yaml_file.parse(text, SOURCE) != after:  # a section shared by an alias
            raise params.ParamsError("--set cannot change values that YAML aliases (&, *) share. Edit params.yaml.")
        edit.write(path, text)
    edit.table(edit.differences(edit.flat(before), edit.flat(after)))
    terminal.echo("params.yaml was changed; `git checkout params.yaml` reverts it.")


def parse(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse `SECTION.KEY=VALUE`, with a YAML value, into {"SECTION.KEY": value}. Raises BadParameter, ParamsError."""
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
