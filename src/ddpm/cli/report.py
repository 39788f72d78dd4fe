"""`ddpm report`: the report of the stages' outputs and the last run's verdict."""

import typer

from ddpm.common import terminal

app = typer.Typer()


@app.command()
def report() -> None:
    """Write the report of the current results, one HTML file."""
    from ddpm.report import page, run_summary

    judged = page.make(run_summary.read())
    terminal.echo(f"{page.PAGE}: open it in a browser")
    if not judged:
        terminal.echo("It has no verdict: no flow run has judged these scores yet. `make run` does.")
