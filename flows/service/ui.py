"""`python -m flows.service.ui` (`make ui`): MLflow's and Prefect's pages on 127.0.0.1 until Ctrl-C."""

import argparse
import sys

from ddpm.common import terminal
from flows.service import prefect_server, supervise
from flows.service.exposure import Exposure
from flows.service.servers import Pages, pages


def main() -> None:
    """Start what does not run yet, print the addresses, wait, and stop what was started."""
    parser = argparse.ArgumentParser(prog="python -m flows.service.ui", description=__doc__)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    parser.add_argument("--prefect-port", type=int, default=prefect_server.PORT)
    chosen = parser.parse_args()
    ended = supervise.until_asked()
    try:
        with pages(chosen.mlflow_port, chosen.prefect_port, Exposure(), target="ui") as found:
            supervise.keep(found.members, ended, say, shown_once(found))
    except (prefect_server.ServerError, supervise.SupervisionError) as error:
        terminal.error(error)
        sys.exit(1)
    terminal.echo("ui: stopped")


def say(text: str) -> None:
    """A line on what happened."""
    terminal.echo(f"ui: {text}")


def shown_once(found: Pages) -> supervise.Tick:
    """Print the addresses as soon as both answer."""
    shown = False

    def tick() -> None:
        nonlocal shown
        if not shown and found.answer():
            shown = True
            found.show()
            terminal.echo("  Ctrl-C stops both.")

    return tick


if __name__ == "__main__":
    main()
