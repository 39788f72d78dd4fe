"""`ddpm approve`, `ddpm reject`: a person's answer to a run that waits for it (promote.approval)."""

from typing import Annotated

import typer

from ddpm.cli.models import Name, _name
from ddpm.common import terminal

app = typer.Typer()

Version = Annotated[int, typer.Argument(help="The version that was asked about.", min=1)]
Why = Annotated[str, typer.Option("--why", help="The reason; it is kept with the version.", show_default=False)]


@app.command()
def approve(version: Version, why: Why, name: Name = "") -> None:
    """Let a version become the champion, as the gate proposed. Answers the question of promote.approval."""
    _answer(version, why, name, approve=True)
    terminal.echo("the run that waits makes it the champion in a moment; if none is waiting, the next run does")


@app.command()
def reject(version: Version, why: Why, name: Name = "") -> None:
    """Keep the champion, against the gate's proposal. Answers the question of promote.approval."""
    _answer(version, why, name, approve=False)


def _answer(version: int, why: str, name: str, *, approve: bool) -> None:
    from ddpm import tracking
    from ddpm.registry import approval

    model = _name(name)
    with tracking.friendly_errors():
        answered = approval.answer(model, version, approve=approve, why=why)
    terminal.echo(f"version {version} of {model}: {answered}")
