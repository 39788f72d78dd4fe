"""`ddpm report`: the page of what the stages left and the last run found."""

import typer

from ddpm.common import terminal

app = typer.Typer()


@app.command()
def report() -> None:
    """Write the report of the present results: one HTML file that opens from disk, offline, also on a phone."""
    from ddpm.report import facts, page

    judged = page.make(facts.read())
    terminal.echo(f"{page.PAGE}: open it in a browser")
    if not judged:
        terminal.echo("It has no verdict: no run of the flow has judged these scores. `make run` does.")
