"""`ddpm report`: the report of the stages' outputs and the last run's verdict."""

from typing import Annotated

import typer

from ddpm.common import terminal

app = typer.Typer()


@app.command()
def report(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a summary in Markdown, for a pull request; write no file.")
    ] = False,
) -> None:
    """Write the report of the current results, one HTML file."""
    from ddpm.report import page, pull_request, run_summary

    summary = run_summary.read()
    if markdown:
        terminal.echo(*pull_request.write(page.load(summary)).splitlines())
        return
    judged = page.make(summary)
    terminal.echo(f"{page.PAGE}: open it in a browser")
    if not judged:
        terminal.echo("It has no verdict: no flow run has judged these scores yet. `make run` does.")
