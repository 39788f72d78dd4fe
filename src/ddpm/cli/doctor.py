"""`ddpm doctor`: check machine and project, with a remedy for each problem."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from ddpm.cli import machine_checks, project_checks
from ddpm.cli.findings import Finding
from ddpm.cli.tables import hanging
from ddpm.common import terminal

app = typer.Typer()
STATE = 8
"""Width of the first column."""
CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    machine_checks.python,
    machine_checks.packages,
    machine_checks.user,
    machine_checks.tools,
    project_checks.repository,
    project_checks.parameters,
    project_checks.data,
    project_checks.scores,
    project_checks.dvc_remote,
    machine_checks.disk,
    machine_checks.device,
    machine_checks.servers,
    machine_checks.locks,
)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False) -> None:
    """Check machine and project, and name a remedy for each problem.

    Exit status 1 if anything required is missing.
    """
    if as_json:
        findings = [found for check in CHECKS for found in check()]
        terminal.echo_json([asdict(each) for each in findings], indent=2)
        raise typer.Exit(any(each.state == "missing" for each in findings))
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    styles = {"ok": "green", "note": "yellow", "missing": "bold red"}
    missing = 0
    for check in CHECKS:
        for found in check():
            missing += found.state == "missing"
            line = hanging(f"{found.state:<8} {found.subject:<10} ", found.text)
            console.print(Text.assemble((line[:STATE], styles[found.state]), line[STATE:]))
    terminal.echo("Nothing required is missing." if not missing else f"{missing} missing; see the remedies above.")
    raise typer.Exit(min(missing, 1))
