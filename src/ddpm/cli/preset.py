"""`ddpm preset`: complete parameter files to start from."""

from pathlib import Path
from typing import Annotated

import typer

from ddpm.common import terminal

app = typer.Typer()


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="Name of the preset; omit it to list all.", show_default=False)] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the differences.")] = False,
) -> None:
    """Write a preset to params.yaml, or list the presets.

    The differences from the current params.yaml are shown.
    """
    import difflib

    from ddpm.cli import edit
    from ddpm.common import yaml_file
    from ddpm.config import params, presets

    known = presets.paths()
    if not known:
        raise FileNotFoundError(f"{Path.cwd()} has no presets/*.yaml. Run this in the project folder.")
    if not name:
        for path in known.values():
            terminal.echo(f"{path.stem:<14}{presets.header(path)[0]}")
        terminal.echo("Write one to params.yaml: `ddpm preset NAME`.")
        return
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"possible: {', '.join(known)}"
        raise ValueError(f"preset {name} does not exist; {hint}")
    text = presets.text(known[name])
    try:
        old = edit.flat(params.read_yaml(params.PARAMS_FILE)) if params.PARAMS_FILE.exists() else {}
    except params.ParamsError as error:
        terminal.echo(f"note: the current file is not valid and is replaced without comparison: {error}")
        old = {}
    changes = edit.differences(old, edit.flat(yaml_file.parse(text, name)))
    if not changes:
        terminal.echo(f"params.yaml already has the values of {name}.")
    else:
        edit.table(changes)
    if not dry_run:
        edit.write(params.PARAMS_FILE, text)
        terminal.echo(f"params.yaml is now the preset {name}. {' '.join(presets.header(known[name])[1:])}".rstrip())
        terminal.echo("next: `make run`")
