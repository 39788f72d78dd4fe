"""`ddpm approve` and `ddpm reject`: answer a run that waits for approval (promote.approval)."""

from typing import Annotated

import typer

from ddpm.cli.models import Name, model_name
from ddpm.common import terminal

app = typer.Typer()

Version = Annotated[int, typer.Argument(help="The version that awaits approval.", min=1)]
Why = Annotated[str, typer.Option("--why", help="The reason; it is kept with the version.", show_default=False)]


@app.command()
def approve(version: Version, why: Why, name: Name = "") -> None:
    """Approve the promotion of a version (promote.approval)."""
    _answer(version, why, name, approve=True)
    terminal.echo("the waiting run promotes it in a moment; if no run is waiting, the next one does")


@app.command()
def reject(version: Version, why: Why, name: Name = "") -> None:
    """Reject the promotion of a version (promote.approval)."""
    _answer(version, why, name, approve=False)


def _answer(version: int, why: str, name: str, *, approve: bool) -> None:
    from ddpm import tracking
    from ddpm.registry import approval

    model = model_name(name)
    with tracking.friendly_errors():
        answered = approval.answer(model, version, approve=approve, why=why)
    terminal.echo(f"version {version} of {model}: {answered}")
