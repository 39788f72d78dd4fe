"""The retraining service: `python -m flows.serve` (`make serve`) runs until Ctrl-C and keeps its parts running.

Prefect's and MLflow's servers, and the deployments `retrain` (on a schedule), `promote` and `rollback`, which Prefect's
page runs on demand. `--now` asks a service that runs here to retrain at once.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ddpm import notifications
from ddpm.common import terminal
from ddpm.common.locks import LockBusyError, locked
from ddpm.config import params
from ddpm.config.sections import texts
from ddpm.notifications import NotificationError
from flows import ROOT, process, server, supervise
from flows.exposure import Exposure, ExposureError
from flows.pages import Pages, pages
from flows.supervise import Member, SupervisionError

if TYPE_CHECKING:
    from uuid import UUID

LOCK = Path(".state/service.lock")
DEPLOYMENTS = ("retrain", "promote", "rollback")
SECONDS_BETWEEN_ROUNDS = 5.0
SECONDS_BETWEEN_RECORDS = 30.0
GRACE = 90.0
"""Seconds that a run in progress has to save its state when the service stops."""


def main() -> None:
    """Run the service, or ask it to retrain."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("--cron", help="when to retrain, in cron's form, UTC (default: flow.cron in params.yaml)")
    parser.add_argument("--mlflow-port", type=int, default=5000)
    parser.add_argument("--prefect-port", type=int, default=server.PORT)
    parser.add_argument(
        "--host", default=server.HOST, help="address to listen at; any but this machine's own needs passwords"
    )
    parser.add_argument("--now", action="store_true", help="ask the service that runs here to retrain now, and end")
    parser.add_argument("--force", action="store_true", help="with --now: even if nothing has changed")
    parser.add_argument("--accept-drift", action="store_true", help="with --now: however far the data have moved")
    chosen = parser.parse_args()
    try:
        if chosen.now:
            retrain_now(force=chosen.force, accept_drift=chosen.accept_drift)
        else:
            exposure = Exposure(chosen.host)
            exposure.check()
            notifications.webhook()  # refuse wrong settings at once
            with locked(LOCK, "the service runs in this checkout already", patience=0):
                serve(_cron(chosen.cron), chosen.mlflow_port, chosen.prefect_port, exposure)
    except (
        server.ServerError, SupervisionError, ExposureError, LockBusyError, params.ParamsError, NotificationError
    ) as error:  # fmt: skip
        terminal.error(error)
        sys.exit(1)


def _cron(asked: str | None) -> str:
    """The schedule that is asked for, or that of params.yaml. Raises ParamsError."""
    if asked is None:
        return params.load().flow.cron
    try:
        return texts.cron(asked)
    except ValueError as error:
        raise params.ParamsError(f"--cron: {error}") from error


def serve(cron: str, mlflow_port: int, prefect_port: int, exposure: Exposure) -> None:
    """Until Ctrl-C or SIGTERM. Raises SupervisionError when a part ends again and again."""
    ended = supervise.until_asked()
    with pages(mlflow_port, prefect_port, exposure, target="serve") as found:
        part = runner(cron, found.prefect)
        supervise.keep([*found.members, part], ended, say, Rounds(found, cron).tick)
    say("stopped")


def runner(cron: str, prefect: server.Server) -> Member:
    """What takes the runs. They are asked to save and end before it is: it would kill those that it leaves behind."""
    log = server.log().with_name("runner.log")

    def start() -> "subprocess.Popen[str]":
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return process.launch(process.child("flows.runner", cron), log, os.environ | {"PYTHONPATH": path})

    return Member("the runner", start, log, prefect.answers, signal.SIGTERM, GRACE, children_first=True)


@dataclass
class Rounds:
    """What the service looks after between its looks at the processes."""

    pages: Pages
    cron: str
    shown: bool = False
    due: float = 0.0
    records_due: float = 0.0
    trouble: str = ""
    deployments: "list[UUID]" = field(default_factory=list)

    def tick(self) -> None:
        """Tell where the pages are once they answer; then see to dead runs and their records, every few seconds."""
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
                f"Prefect's server gives no answer to work with ({error or type(error).__name__}); asking again"
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
        """Runs whose process was killed are told as crashed, and run again once."""
        from prefect.client.orchestration import get_client

        from flows import liveness

        if not self.pages.prefect.answers():
            return  # it is being started again
        with get_client(sync_client=True) as client:
            for run in liveness.crash_the_dead(client):
                say(f"{liveness.described(run)} was killed: it is Crashed now")
            for run in liveness.resume(client, self.deployments):
                say(f"{liveness.described(run)} goes on where the crashed run ended")

    def _worry(self, text: str) -> None:
        """Say what is wrong once, not every few seconds."""
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
    """When retraining begins: what somebody chose on Prefect's page counts, whatever `flow.cron` says.

    The runner may not have recorded the deployment of an earlier service again yet.
    """
    from prefect.client.orchestration import get_client

    from flows import schedule

    asked = "when asked: python -m flows.serve --now"
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
    """Close the MLflow runs of trainings that were killed; the resumed training goes on under the same id."""
    from ddpm import tracking

    try:
        with tracking.in_words():
            closed = tracking.reconcile()
        for digest in closed:
            say(f"the record of the training {digest[:8]} is closed as KILLED")
    except tracking.TrackingError as error:  # what was meant for MLflow is kept, and shipped when it answers
        say(str(error))


def retrain_now(*, force: bool, accept_drift: bool) -> None:
    """Have the service of this checkout retrain. Raises ServerError when none runs."""
    prefect = server.find()
    if prefect is None:
        raise server.ServerError(
            "no service runs here. Start it: make serve. Or run once: python -m flows.retrain --once"
        )
    prefect.use()
    from prefect.client.orchestration import get_client

    known = deployments()
    if not known:
        raise server.ServerError(
            f"the Prefect server at {prefect.page} has no deployment `retrain`: make serve, or prefect deploy"
        )
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(
            known[0], parameters={"force": force, "accept_drift": accept_drift}
        )
    terminal.echo(f"{run.name} is asked for: {prefect.page}/runs/flow-run/{run.id}")


def say(text: str) -> None:
    """A line on what happened."""
    terminal.echo(f"service: {text}")


if __name__ == "__main__":
    main()
