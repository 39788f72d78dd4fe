"""`ddpm promote`, `rollback`, `status`, `history` and `prune`: the registered models."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from ddpm.cli import model_tables, pruning
from ddpm.common import terminal
from ddpm.common.class_names import listed
from ddpm.common.redact import redact_address

if TYPE_CHECKING:
    from ddpm.registry import Move

app = typer.Typer()

Name = Annotated[
    str,
    typer.Option("--name", help="The registered model; by default promote.name of params.yaml.", show_default=False),
]
Why = Annotated[str, typer.Option("--why", help="The reason; it is kept in the audit trail.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]


@app.command()
def promote(
    version: Annotated[int, typer.Argument(help="The version to promote.", min=1)], why: Why, name: Name = ""
) -> None:
    """Make a version the champion, regardless of the gate's verdict.

    The version is first loaded and sampled in a clean process. The old champion becomes `previous`.
    """
    from ddpm import registry, tracking

    model = model_name(name)
    with tracking.friendly_errors():
        move = registry.force_promote(model, version, why, log=terminal.echo)
        registry.describe(model, move.target)
    terminal.echo(move)
    _notify(move)


@app.command()
def rollback(
    to: Annotated[
        int | None, typer.Option("--to", help="Return to this version instead of `previous`.", show_default=False)
    ] = None,
    why: Why = "",
    name: Name = "",
) -> None:
    """Make the previous champion the champion again.

    The version rolled back is not promoted again by its scores, only by `ddpm promote`. A repeated rollback changes
    nothing.
    """
    from ddpm import registry, tracking

    with tracking.friendly_errors():
        move = registry.rollback(model_name(name), to, why=why)
        registry.describe(move.name, move.target)
    terminal.echo(move)
    _notify(move)


@app.command()
def status(name: Name = "", as_json: Json = False) -> None:
    """List the registered versions with scores, verdict and origin.

    A narrow terminal shows fewer columns.
    """
    from ddpm import registry, tracking

    model = model_name(name)
    with tracking.friendly_errors():
        found = registry.status(model)
    if as_json:
        terminal.echo_json(model_tables.versions_json(found, redact_address(tracking.tracking_uri())), indent=2)
        return
    terminal.echo(f"{model} at {redact_address(tracking.tracking_uri())}")
    if not found.versions:
        terminal.echo("no version is registered yet: `make run` trains and registers one")
        return
    model_tables.show_versions(found.versions)
    if found.champion:
        if found.champion.classes:
            terminal.echo(f"classes of the champion: {listed(found.champion.classes, indices=False)}")
        terminal.echo(f'load the champion: mlflow.pyfunc.load_model("models:/{model}@champion")')
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            terminal.echo(f"with MLFLOW_TRACKING_URI={tracking.tracking_uri()}")
    else:
        terminal.echo("no version is champion: none has passed the gate or was promoted manually")


@app.command()
def history(name: Name = "", as_json: Json = False) -> None:
    """List every change of champion: time, versions, user, reason."""
    from ddpm import registry, tracking

    model = model_name(name)
    with tracking.friendly_errors():
        moves = registry.history(model)
    if as_json:
        terminal.echo_json(model_tables.moves_json(model, moves), indent=2)
        return
    if not moves:
        terminal.echo(f"the champion of {model} has never changed")
        return
    model_tables.show_moves(moves)


@app.command()
def prune(
    keep: Annotated[
        int | None,
        typer.Option("--keep", help="Delete all but this many versions without an alias.", min=0, show_default=False),
    ] = None,
    rejected_days: Annotated[
        float | None,
        typer.Option(
            "--rejected-days",
            help="Delete candidates rejected more than this many days ago.  [default: flow.rejected_days]",
            min=0,
            show_default=False,
        ),
    ] = None,
    name: Name = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
) -> None:
    """Delete rejected candidates by age, or old versions by number.

    Rejected candidates go with their MLflow runs, pictures and patches, unless an alias or the audit trail names them.
    With --keep, only versions and their files go: the newest stay, versions with an alias too, and all runs.
    """
    if keep is not None and rejected_days is not None:
        raise typer.BadParameter("give --keep or --rejected-days, not both.")
    from ddpm import tracking

    model = model_name(name)
    with tracking.friendly_errors():
        if keep is not None:
            pruning.prune_versions(model, keep, delete=not dry_run)
        else:
            pruning.prune_rejected(model, pruning.days(rejected_days), delete=not dry_run)


def _notify(move: "Move") -> None:
    """Notify the webhook of a move, if one is configured; a failure is only a warning."""
    from ddpm import notifications

    if message := notifications.champion_moved(move):
        notifications.deliver(message, lambda text: terminal.error(text, label="warning: "))


def model_name(given: str) -> str:
    """Return the given model name, or promote.name of params.yaml. Raises ParamsError if that is invalid."""
    from ddpm.config import params

    return given or params.model_name()
