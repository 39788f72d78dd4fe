"""`ddpm promote`, `rollback`, `status`, `history` and `prune`: the registered models."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from ddpm.common import terminal
from ddpm.common.class_names import listed
from ddpm.common.redact import redact_address

if TYPE_CHECKING:
    from rich.table import Table

    from ddpm.evaluation.score_record import ScoreRecord
    from ddpm.registry import Move, Version

app = typer.Typer()

Name = Annotated[
    str,
    typer.Option("--name", help="The registered model; by default promote.name of params.yaml.", show_default=False),
]
Why = Annotated[str, typer.Option("--why", help="The reason; it is kept in the audit trail.", show_default=False)]


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
    terminal.echo(move)
    _notify(move)


@app.command()
def status(name: Name = "") -> None:
    """List the registered versions with scores, verdict and origin."""
    from rich.console import Console

    from ddpm import registry, tracking

    model = model_name(name)
    with tracking.friendly_errors():
        found = registry.status(model)
    terminal.echo(f"{model} at {redact_address(tracking.tracking_uri())}")
    if not found.versions:
        terminal.echo("no version is registered yet: `make run` trains and registers one")
        return
    Console().print(_versions(found.versions))
    if found.champion:
        if found.champion.classes:
            terminal.echo(f"classes of the champion: {listed(found.champion.classes, indices=False)}")
        terminal.echo(f'load the champion: mlflow.pyfunc.load_model("models:/{model}@champion")')
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            terminal.echo(f"with MLFLOW_TRACKING_URI={tracking.tracking_uri()}")
    else:
        terminal.echo("no version is champion: none has passed the gate or was promoted manually")


@app.command()
def history(name: Name = "") -> None:
    """List every change of champion: time, versions, user, reason."""
    from rich.console import Console

    from ddpm import registry, tracking

    model = model_name(name)
    with tracking.friendly_errors():
        moves = registry.history(model)
    if not moves:
        terminal.echo(f"the champion of {model} has never changed")
        return
    Console().print(_moves(moves))


@app.command()
def prune(
    keep: Annotated[int, typer.Option("--keep", help="Number of versions without an alias to keep.", min=0)],
    name: Name = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the versions to delete.")] = False,
) -> None:
    """Delete old versions and their files.

    Versions with an alias are never deleted. Runs and the audit trail are kept.
    """
    from ddpm import registry, tracking

    model = model_name(name)
    with tracking.friendly_errors():
        deleted = registry.prune(model, keep, dry_run=dry_run)
    numbers = ", ".join(map(str, deleted)) or "none"
    terminal.echo(f"{model}: versions {'to delete' if dry_run else 'deleted'}: {numbers}")


def _notify(move: "Move") -> None:
    """Notify the webhook of a move, if one is configured; a failure is only a warning."""
    from ddpm import notifications

    if message := notifications.champion_moved(move):
        notifications.deliver(message, lambda text: terminal.error(text, label="warning: "))


def _versions(versions: tuple["Version", ...]) -> "Table":
    from rich.text import Text

    table = _table("version", "aliases", "registered", "FID (extractor)", "IS", "gate", "loads", "code", "data")
    for each in versions:
        scores = each.scores
        cells = (
            each.number,
            ", ".join(each.aliases),
            f"{each.created.astimezone():%Y-%m-%d %H:%M}",
            _fid(scores),
            _score(scores.inception_score),
            _verdict(each),
            "yes" if each.verified else "no" if "ddpm.failed" in each.tags else "untried",
            each.tags.get("ddpm.git_sha", "")[:8] + ("+" if each.tags.get("ddpm.git_dirty") == "true" else ""),
            each.tags.get("ddpm.data_hash", "")[:8],
        )
        style = "bold" if "champion" in each.aliases else ""
        table.add_row(*(Text(terminal.field(cell)) for cell in cells), style=style)
    return table


def _moves(moves: list["Move"]) -> "Table":
    from rich.text import Text

    table = _table("#", "when", "move", "from", "to", "by", "why", "outcome")
    for each in moves:
        cells = (
            each.sequence,
            f"{each.when.astimezone():%Y-%m-%d %H:%M:%S}",
            each.kind,
            each.origin or "-",
            each.target,
            each.who,
            each.why,
            each.outcome,
        )
        table.add_row(*(Text(terminal.field(cell)) for cell in cells))
    return table


def _table(*headings: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _fid(scores: "ScoreRecord") -> str:
    """Format FID with its extractor, such as `3.21 (classifier)`."""
    extractor = scores.conditions.get("extractor")
    return " ".join(filter(None, (_score(scores.fid), extractor and f"({extractor})")))


def _verdict(version: "Version") -> str:
    """Return the gate's verdict, and the state of the approval if one was requested."""
    from ddpm.registry import approval

    asked = approval.read(version)
    return ", ".join(word for word in (version.tags.get("ddpm.verdict"), asked.state if asked else None) if word)


def model_name(given: str) -> str:
    """Return the given model name, or promote.name of params.yaml. Raises ParamsError if that is invalid."""
    from ddpm.config import params

    return given or params.model_name()
