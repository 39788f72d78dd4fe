"""`ddpm promote`, `rollback`, `status`, `history`, `prune`: registered models, for a person."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.common import terminal
from ddpm.common.class_names import listed
from ddpm.common.redact import shown_address

if TYPE_CHECKING:
    from rich.table import Table

    from ddpm.registry import Move, Version

app = typer.Typer()

Name = Annotated[
    str,
    typer.Option("--name", help="The registered model; by default promote.name of params.yaml.", show_default=False),
]
Why = Annotated[str, typer.Option("--why", help="The reason; it is kept in the audit trail.", show_default=False)]


@app.command()
def promote(
    version: Annotated[int, typer.Argument(help="The version to make champion.", min=1)], why: Why, name: Name = ""
) -> None:
    """Make a version the champion: your decision, whatever the gate said.

    The version is first loaded and sampled in a clean process. The old champion becomes `previous`.
    """
    from ddpm import registry, tracking

    model = _name(name)
    with tracking.friendly_errors():
        move = registry.promote_by_hand(model, version, why, say=terminal.echo)
    terminal.echo(move)
    _notify(move)


@app.command()
def rollback(
    to: Annotated[
        int | None, typer.Option("--to", help="Go back to this version instead of `previous`.", show_default=False)
    ] = None,
    why: Why = "",
    name: Name = "",
) -> None:
    """Make the previous champion the champion again. Safe to repeat.

    The version that is left will not be promoted again by its scores, only by `ddpm promote`.
    """
    from ddpm import registry, tracking

    with tracking.friendly_errors():
        move = registry.rollback(_name(name), to, why=why)
    terminal.echo(move)
    _notify(move)


@app.command()
def status(name: Name = "") -> None:
    """Show the registered versions: aliases, scores, what the gate said, and where they come from."""
    from rich.console import Console

    from ddpm import registry, tracking

    model = _name(name)
    with tracking.friendly_errors():
        found = registry.status(model)
    terminal.echo(f"{model} at {shown_address(tracking.tracking_uri())}")
    if not found.versions:
        terminal.echo("no version is registered yet: `make run` trains one and registers it")
        return
    Console().print(_versions(found.versions))
    if found.champion:
        if found.champion.classes:
            terminal.echo(f"classes of the champion: {listed(found.champion.classes, indices=False)}")
        terminal.echo(f'load the champion: mlflow.pyfunc.load_model("models:/{model}@champion")')
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            terminal.echo(f"with MLFLOW_TRACKING_URI={tracking.tracking_uri()}")
    else:
        terminal.echo("no version is champion: none has passed the gate, and none was promoted by hand")


@app.command()
def history(name: Name = "") -> None:
    """Show every move of the champion: when, from and to, by whom and why."""
    from rich.console import Console

    from ddpm import registry, tracking

    model = _name(name)
    with tracking.friendly_errors():
        moves = registry.history(model)
    if not moves:
        terminal.echo(f"the champion of {model} has never moved")
        return
    Console().print(_moves(moves))


@app.command()
def prune(
    keep: Annotated[int, typer.Option("--keep", help="Versions without an alias to keep, the newest.", min=0)],
    name: Name = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say which would be deleted.")] = False,
) -> None:
    """Delete old versions and their files. A version that an alias names is never deleted; runs and the audit stay."""
    from ddpm import registry, tracking

    model = _name(name)
    with tracking.friendly_errors():
        gone = registry.prune(model, keep, dry=dry)
    numbers = ", ".join(map(str, gone)) or "none"
    terminal.echo(f"{model}: versions {'that would be' if dry else ''} deleted: {numbers}".replace("  ", " "))


def _notify(move: "Move") -> None:
    """Notify the webhook of a move, if one is configured; a failure is a warning, because the move was made."""
    from ddpm import notifications

    if message := notifications.champion_moved(move):
        notifications.deliver(message, lambda text: terminal.error(text, label="warning: "))


def _versions(versions: tuple["Version", ...]) -> "Table":
    from rich.text import Text

    table = _table("version", "aliases", "registered", "FID (extractor)", "IS", "gate", "loads", "code", "data")
    for each in versions:
        scores = each.evidence
        cells = (
            each.number,
            ", ".join(each.aliases),
            f"{each.created.astimezone():%Y-%m-%d %H:%M}",
            _fid(scores),
            _score(scores.get("inception_score")),
            _judged(each),
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


def _score(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""


def _fid(scores: Mapping[str, Any]) -> str:
    """`3.21 (classifier)`."""
    extractor = scores.get("conditions", {}).get("extractor")
    return " ".join(filter(None, (_score(scores.get("fid")), extractor and f"({extractor})")))


def _judged(version: "Version") -> str:
    """The gate's verdict in a word, and where a person was asked, that person's."""
    from ddpm.registry import approval

    asked = approval.read(version)
    return ", ".join(word for word in (version.tags.get("ddpm.verdict"), asked.state if asked else None) if word)


def _name(given: str) -> str:
    """The registered model that is meant. Raises ParamsError when only params.yaml could say it and it does not."""
    from ddpm.config import params

    return given or params.model_name()
