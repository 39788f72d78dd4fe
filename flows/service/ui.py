"""The pages behind `ddpm ui`: MLflow's and Prefect's, on 127.0.0.1, until Ctrl-C."""

from ddpm.common import terminal
from flows.service import supervise
from flows.service.access import Exposure
from flows.service.servers import Pages, pages


def show(mlflow_port: int, prefect_port: int) -> None:
    """Start the servers that do not run yet, print their addresses, and stop those servers at the end.

    Raises ServerError if a port is taken, SupervisionError if a server ends again and again.
    """
    ended = supervise.until_asked()
    with pages(mlflow_port, prefect_port, Exposure(), command="ui") as found:
        supervise.keep(found.members, ended, log, _shown_once(found))
    log("stopped")


def log(text: str) -> None:
    """Print a line about a server."""
    terminal.echo(f"ui: {text}")


def _shown_once(found: Pages) -> supervise.Tick:
    """Print the addresses as soon as both servers answer."""
    shown = False

    def tick() -> None:
        nonlocal shown
        if not shown and found.answer():
            shown = True
            found.show()
            terminal.echo("  Ctrl-C stops both.")

    return tick
