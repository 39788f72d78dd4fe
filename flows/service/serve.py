"""The retraining service behind `ddpm serve`: runs until Ctrl-C and keeps its parts running.

Its parts are Prefect's and MLflow's servers and the runner of the deployments `retrain` (on a schedule), `promote` and
`rollback`, which can also be started on Prefect's page.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
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
from flows.service.servers import Pages, pages
from flows.service.supervise import Member

if TYPE_CHECKING:
    from uuid import UUID

LOCK = Path(".state/service.lock")
DEPLOYMENTS = ("retrain", "promote", "rollback")
SECONDS_BETWEEN_ROUNDS = 5.0
SECONDS_BETWEEN_RECORDS = 30.0
GRACE = 90.0
"""Seconds a running flow has to save its state when the service stops."""


def start(cron: str | None, mlflow_port: int, prefect_port: int, host: str) -> None:
    """Run the service until Ctrl-C or SIGTERM. cron: when to retrain; by default as flow.cron says.

    Raises ValueError for settings that are not valid, LockBusyError if the service already runs in this checkout,
    ServerError if a port is taken, and SupervisionError if a part ends again and again.
    """
    exposure = Exposure(host)
    exposure.check()
    notifications.webhook()  # refuse invalid settings at once
    with locked(LOCK, "the service runs in this checkout already", patience=0):
        _serve(_cron(cron), mlflow_port, prefect_port, exposure)


def _cron(chosen: str | None) -> str:
    """The chosen schedule, or that of params.yaml. Raises ParamsError."""
    if chosen is None:
        return params.load().flow.cron
    try:
        return texts.cron(chosen)
    except ValueError as error:
        raise params.ParamsError(f"--cron: {error}") from error


def _serve(cron: str, mlflow_port: int, prefect_port: int, exposure: Exposure) -> None:
    ended = supervise.until_asked()
    with pages(mlflow_port, prefect_port, exposure, command="serve") as found:
        part = runner(cron, found.prefect)
        supervise.keep([*found.members, part], ended, say, Rounds(found, cron).tick)
    say("stopped")


def runner(cron: str, prefect: prefect_server.Server) -> Member:
    """The runner as a supervised process. Its runs are stopped first: it would kill those it leaves behind."""
    log = prefect_server.log().with_name("runner.log")

    def start() -> "subprocess.Popen[str]":
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return processes.launch(processes.child("flows.service.runner", cron), log, os.environ | {"PYTHONPATH": path})

    return Member("the runner", start, log, prefect.answers, signal.SIGTERM, GRACE, children_first=True)


@dataclass
class Rounds:
    """The periodic work of the service, between its checks of the processes."""

    pages: Pages
    cron: str
    shown: bool = False
    due: float = 0.0
    records_due: float = 0.0
    trouble: str = ""
    deployments: "list[UUID]" = field(default_factory=list)

    def tick(self) -> None:
        """Print the addresses once the pages answer; then see to dead runs and their records every few seconds."""
        now = time.monotonic()
        if now < self.due or not (self.shown or self.pages.answer()):
            return
        self.due = now + (SECONDS_BETWEEN_ROUNDS if self.shown else 1.0)
        from httpx import HTTPError
        from prefect.exceptions import PrefectHTTPStatusError

        try:
            if self.shown:
                self._see_to_runs()
            else:
                self._open()
            self.trouble = ""
        except (HTTPError, PrefectHTTPStatusError) as error:
            self._worry(
                f"Prefect's server does not give a usable answer ({error or type(error).__name__}); asking again"
            )
        if self.shown and now >= self.records_due:
            self.records_due = now + SECONDS_BETWEEN_RECORDS
            close_records()

    def _open(self) -> None:
        """Show the addresses once the runner has recorded the deployments."""
        self.deployments = deployments()
        if len(self.deployments) < len(DEPLOYMENTS):
            return
        self.shown = True
        say(schedule_in_words(self.cron))
        self.pages.show()
        terminal.echo("  Ctrl-C stops all.")

    def _see_to_runs(self) -> None:
        """Mark runs whose process was killed as crashed, and run them again once."""
        from prefect.client.orchestration import get_client

        from flows import crash_recovery

        if not self.pages.prefect.answers():
            return  # it is being started again
        with get_client(sync_client=True) as client:
            for run in crash_recovery.mark_dead_runs_crashed(client):
                say(f"{crash_recovery.described(run)} was killed: it is Crashed now")
            for run in crash_recovery.resume(client, self.deployments):
                say(f"{crash_recovery.described(run)} goes on where the crashed run ended")

    def _worry(self, text: str) -> None:
        """Report trouble once, not every few seconds."""
        if text != self.trouble:
            say(text)
        self.trouble = text


def deployments() -> "list[UUID]":
    """The ids of those of DEPLOYMENTS that Prefect knows."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    found = []
    with get_client(sync_client=True) as client:
        for name in DEPLOYMENTS:
            try:
                found.append(client.read_deployment_by_name(f"{name}/{name}").id)
            except ObjectNotFound:
                break
    return found


def schedule_in_words(cron: str) -> str:
    """Describe when retraining begins: choices made on Prefect's page take precedence over `flow.cron`.

    The runner may not have recorded the deployment of an earlier service again yet.
    """
    from prefect.client.orchestration import get_client

    from flows.service import schedule

    asked = "when asked: `ddpm serve --now`"
    with get_client(sync_client=True) as client:
        found = schedule.known(client, "retrain")
    noted = schedule.Noted.read()
    active = [each.schedule for each in schedule.schedules(found, cron, noted) if each.active]
    if not active or schedule.stays_paused(found, noted):
        return f"the schedule of `retrain` is switched off on Prefect's page, and stays off; retraining only {asked}"
    times = [_in_words(each) for each in active]
    changed = "" if times == [f"{cron!r} (UTC)"] else f", as set on Prefect's page (flow.cron: {cron!r})"
    return f"retraining at {' and '.join(times)}{changed}, and {asked}"


def _in_words(times: object) -> str:
    """A schedule's times: in cron's form where it has one."""
    cron = getattr(times, "cron", None)
    return f"{cron!r} ({getattr(times, 'timezone', None) or 'UTC'})" if cron else "times of its own"


def close_records() -> None:
    """Close the MLflow runs of trainings that were killed; a resumed training continues the same run."""
    from ddpm import tracking

    try:
        with tracking.friendly_errors():
            closed = tracking.close_abandoned()
        for digest in closed:
            say(f"the record of the training {digest[:8]} is closed as KILLED")
    except tracking.TrackingError as error:  # the spool keeps what MLflow lacks until it answers
        say(str(error))


def retrain_now(*, force: bool, accept_drift: bool) -> None:
    """Have the service of this checkout retrain. Raises ServerError when none runs."""
    prefect = prefect_server.find()
    if prefect is None:
        raise prefect_server.ServerError(
            "no service runs here. Start it: `ddpm serve`. Or retrain once: `ddpm retrain`"
        )
    prefect.use()
    from prefect.client.orchestration import get_client

    known = deployments()
    if not known:
        raise prefect_server.ServerError(
            f"the Prefect server at {prefect.page} has no deployment `retrain`. "
            "Start `ddpm serve`, or run `prefect deploy`."
        )
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(
            known[0], parameters={"force": force, "accept_drift": accept_drift}
        )
    terminal.echo(f"{run.name} is scheduled now: {prefect.page}/runs/flow-run/{run.id}")


def say(text: str) -> None:
    """Print a line about the service."""
    terminal.echo(f"service: {text}")
