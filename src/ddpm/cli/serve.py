"""`ddpm serve` and `ddpm ui`: what runs until Ctrl-C."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from ddpm.cli import project
from ddpm.common import terminal

app = typer.Typer()

MLFLOW_PORT, PREFECT_PORT = 5000, 4200

MlflowPort = Annotated[int, typer.Option(help="Port of MLflow's page.")]
PrefectPort = Annotated[int, typer.Option(help="Port of Prefect's page.")]


@app.command()
def serve(
    cron: Annotated[
        str | None, typer.Option(help="When to retrain, in cron's form, UTC. [default: flow.cron in params.yaml]")
    ] = None,
    mlflow_port: MlflowPort = MLFLOW_PORT,
    prefect_port: PrefectPort = PREFECT_PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs passwords.")
    ] = "127.0.0.1",
    now: Annotated[
        bool, typer.Option("--now", help="Ask the service of this checkout to retrain now, and end.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --now: even if nothing has changed.")] = False,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="With --now: however far the data are from the champion's.")
    ] = False,
) -> None:
    """Retrain on a schedule and on demand, with Prefect's and MLflow's pages, until Ctrl-C."""
    project.enter("serve")
    if (force or accept_drift) and not now:
        raise typer.BadParameter("--force and --accept-drift go with --now.")
    with _messages():
        from flows.service import serve as service

        if now:
            service.retrain_now(force=force, accept_drift=accept_drift)
        else:
            service.start(cron, mlflow_port, prefect_port, host)


@app.command()
def ui(mlflow_port: MlflowPort = MLFLOW_PORT, prefect_port: PrefectPort = PREFECT_PORT) -> None:
    """Show MLflow's and Prefect's pages on 127.0.0.1 until Ctrl-C."""
    project.enter("ui")
    with _messages():
        from flows.service import serve as service

        service.show_pages(mlflow_port, prefect_port)


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """End with one message where a server cannot run or a process lock is taken."""
    from ddpm.common.locks import LockBusyError
    from flows.service.prefect_server import ServerError
    from flows.service.supervise import SupervisionError

    try:
        yield
    except (ServerError, SupervisionError, LockBusyError) as error:
        terminal.error(error)
        raise typer.Exit(1) from error
