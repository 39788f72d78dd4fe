"""`ddpm notify`: set notifications up, and try them."""

import logging
from typing import Annotated

import typer

from ddpm.cli import project
from ddpm.common import terminal

app = typer.Typer()


@app.command()
def notify(
    setup: Annotated[bool, typer.Option("--setup", help="Make Prefect's webhook block and automation.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a test message as well, and report its delivery.")] = False,
) -> None:
    """Set up notifications through the webhook DDPM_WEBHOOK_URL."""
    project.enter("notify")
    if not setup and not test:
        raise typer.BadParameter("choose --setup or --test.")
    from flows import notify as notifications
    from flows.service import prefect_server

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("ddpm.notify").setLevel(logging.INFO)
    try:
        notifications.require_address()
        prefect_server.connect().wait()
        notifications.setup()
        terminal.echo(f"notify: block and automation {notifications.NAME!r} are set up")
        if test:
            notifications.tell("test", "", "a test of the notifications")
    except (ValueError, RuntimeError, OSError) as error:
        terminal.error(notifications.redacted(str(error)))
        raise typer.Exit(1) from None
