"""`ddpm notify`: test the notifications."""

from typing import Annotated

import typer

from ddpm.common import terminal

app = typer.Typer()


@app.command()
def notify(test: Annotated[bool, typer.Option("--test", help="Post a test message and report its delivery.")]) -> None:
    """Test the notification webhook, DDPM_WEBHOOK_URL."""
    from ddpm import notifications

    if not test:
        raise typer.BadParameter("give --test.")
    try:
        webhook = notifications.webhook()
        if webhook is None:
            raise notifications.NotificationError(
                "DDPM_WEBHOOK_URL is not set: set it to the address that receives notifications"
            )
        notifications.post(webhook, notifications.message("test", "", "a test of the notifications"))
    except (ValueError, RuntimeError, OSError) as error:
        terminal.error(notifications.redacted(str(error)))
        raise typer.Exit(1) from None
    terminal.echo("notify: the receiver accepted the test message")
