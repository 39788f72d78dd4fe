"""`ddpm serve` and `ddpm ui`: Prefect's and MLflow's servers until Ctrl-C, with and without the runner of deployments.

The runner of the service executes the deployments `retrain` (on a schedule), `promote` and `rollback`, which can also
be started on Prefect's page.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm import notifications
from ddpm.common import terminal
from ddpm.common.locks import locked
from ddpm.config import params
from ddpm.config.sections import texts
from flows import ROOT, processes
from flows.service import prefect_server, supervise
from flows.service.access import Exposure
from flows.service.servers import Servers, find_or_start
from flows.service.supervise import SupervisedProcess

if TYPE_CHECKING:
    from uuid import UUID

LOCK = Path(".state/service.lock")
RECOVERY_SECONDS = 5.0
"""Seconds between checks for killed runs."""
RECORD_SECONDS = 30.0
"""Seconds between checks for MLflow runs of killed trainings."""
GRACE = 90.0
"""Seconds a running flow has to save its state when the service stops."""


def start(cron: str | None, mlflow_port: int, prefect_port: int, host: str) -> None:
    """Run the service until Ctrl-C or SIGTERM. cron: when to retrain, by default flow.cron.

    Raises ValueError for invalid settings, LockBusyError if the service already runs in this checkout, ServerError if a
    port is taken, and SupervisionError if a process ends again and again.
    """
    exposure = Exposure(host)
    exposure.check()
    notifications.webhook()  # refuse invalid settings at once
    with locked(LOCK, "the service runs in this checkout already", patience=0):
        _serve(_cron(cron), mlflow_port, prefect_port, exposure)


def show_pages(mlflow_port: int, prefect_port: int) -> None:
    """Start those servers that do not run yet, print their addresses, and stop them after Ctrl-C or SIGTERM.

    Raises ServerError if a port is taken, SupervisionError if a server ends again and again.
    """
    stop, write = supervise.stop_event(), partial(log, part="ui")
    with find_or_start(mlflow_port, prefect_port, Exposure(), command="ui") as servers:
        supervise.keep_running(servers.processes, stop, write, _show_once(servers))
    write("stopped")


def _show_once(servers: Servers) -> Callable[[], None]:
    """A function that prints the addresses in its first call after both servers answer."""
    shown = False

    def tick() -> None:
        nonlocal shown
        if not shown and servers.answer():
            shown = True
            servers.show()
            terminal.echo("  Ctrl-C stops both.")

    return tick


def _cron(chosen: str | None) -> str:
    """The chosen schedule, or that of params.yaml. Raises ParamsError."""
    if chosen is None:
        return params.load().flow.cron
    try:
        return texts.cron(chosen)
    except ValueError as error:
        raise params.ParamsError(f"--cron: {error}") from error


def _serve(cron: str, mlflow_port: int, prefect_port: int, exposure: Exposure) -> None:
    stop = supervise.stop_event()
    with find_or_start(mlflow_port, prefect_port, exposure, command="serve") as servers:
        members = [*servers.processes, runner(cron, servers.prefect)]
        supervise.keep_running(members, stop, log, PeriodicWork(servers, cron).tick)
    log("stopped")


def runner(cron: str, prefect: prefect_server.Server) -> SupervisedProcess:
    """The runner as a supervised process. Its runs are stopped first, because it kills those that outlive it."""
    log_file = prefect_server.log_file().with_name("runner.log")

    def start() -> "subprocess.Popen[str]":
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        command = processes.module_command("flows.service.runner", cron)
        return processes.launch(command, log_file, os.environ | {"PYTHONPATH": path})

    return SupervisedProcess("the runner", start, log_file, prefect.answers, signal.SIGTERM, GRACE, children_first=True)


@dataclass
class PeriodicWork:
    """The work of the service between its checks of the processes."""

    servers: Servers
    cron: str
    shown: bool = False
    due: float = 0.0
    records_due: float = 0.0
    warning: str = ""
    deployments: "list[UUID]" = field(default_factory=list)

    def tick(self) -> None:
        """Print the addresses once the servers answer; from then on, recover killed runs and close their records."""
        now = time.monotonic()
        if now < self.due or not (self.shown or self.servers.answer()):
            return
        self.due = now + (RECOVERY_SECONDS if self.shown else 1.0)
        from httpx import HTTPError
        from prefect.exceptions import PrefectHTTPStatusError

        try:
            if self.shown:
                self._recover_runs()
            else:
                self._show()
            self.warning = ""
        except (HTTPError, PrefectHTTPStatusError) as error:
            self._warn_once(
                f"Prefect's server gives no usable response ({error or type(error).__name__}); asking again"
            )
        if self.shown and now >= self.records_due:
            self.records_due = now + RECORD_SECONDS
            close_records()

    def _show(self) -> None:
        """Print schedule and addresses once the runner has registered the deployments."""
        from flows.service import schedule

        self.deployments = schedule.deployment_ids()
        if len(self.deployments) < len(schedule.DEPLOYMENTS):
            return
        self.shown = True
        log(schedule.describe(self.cron))
        self.servers.show()
        terminal.echo("  Ctrl-C stops all.")

    def _recover_runs(self) -> None:
        """Set runs whose process was killed to Crashed, and run them once more."""
        from prefect.client.orchestration import get_client

        from flows import crash_recovery

        if not self.servers.prefect.answers():
            return  # it is being restarted
        with get_client(sync_client=True) as client:
            for run in crash_recovery.mark_dead_runs_crashed(client):
                log(f"{crash_recovery.describe(run)} was killed: it is Crashed now")
            for run in crash_recovery.resume(client, self.deployments):
                log(f"{crash_recovery.describe(run)} resumes the crashed run")

    def _warn_once(self, text: str) -> None:
        """Log a warning unless it was the last one."""
        if text != self.warning:
            log(text)
        self.warning = text


def close_records() -> None:
    """Close the MLflow runs of trainings that were killed; a resumed training continues the same run."""
    from ddpm import tracking

    try:
        with tracking.friendly_errors():
            closed = tracking.close_abandoned()
        for digest in closed:
            log(f"the record of the training {digest[:8]} is closed as KILLED")
    except tracking.TrackingError as error:  # the spool keeps what MLflow lacks until it answers
        log(str(error))


def retrain_now(*, force: bool, accept_drift: bool) -> None:
    """Have the service of this checkout retrain. Raises ServerError if none runs."""
    prefect = prefect_server.find()
    if prefect is None:
        raise prefect_server.ServerError(
            "no service runs here. Start it: `ddpm serve`. Or retrain once: `ddpm retrain`"
        )
    prefect.use()
    from prefect.client.orchestration import get_client

    from flows.service import schedule

    deployments = schedule.deployment_ids()
    if not deployments:
        raise prefect_server.ServerError(
            f"the Prefect server at {prefect.page} has no deployment `retrain`. "
            "Start `ddpm serve`, or run `prefect deploy`."
        )
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(
            deployments[0], parameters={"force": force, "accept_drift": accept_drift}
        )
    terminal.echo(f"{run.name} is scheduled now: {prefect.page}/runs/flow-run/{run.id}")


def log(text: str, part: str = "service") -> None:
    """Print a line about the service, or another part."""
    terminal.echo(f"{part}: {text}")
