"""`ddpm serve` in a clone of its own."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from ddpm.config import presets
from flows.service import prefect_server
from tests.support.clones import environment
from tests.support.databases import give_prefect
from tests.support.repositories import DDPM, sh

ROOT = Path(__file__).parents[2]
PATIENCE = 1200


@dataclass
class Service:
    """A running service."""

    folder: Path
    process: "subprocess.Popen[str]"
    prefect: str
    mlflow: str
    log_file: Path

    @property
    def secret(self) -> str:
        return (self.folder / ".state/prefect/secret").read_text().strip()

    def client(self) -> Any:
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(api=f"{self.prefect}/api", auth_string=self.secret)

    def ask(self, name: str, **parameters: Any) -> UUID:
        """Start a run of a deployment, as Prefect's page does."""
        with self.client() as client:
            deployment = client.read_deployment_by_name(f"{name}/{name}")
            found: UUID = client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id
            return found

    def runs(self, *tags: str) -> list[Any]:
        """All runs of the flow `retrain`, with these tags."""
        from prefect.client.schemas.filters import FlowFilter, FlowFilterName
        from prefect.client.schemas.sorting import FlowRunSort

        named = FlowFilter(name=FlowFilterName(any_=["retrain"]))
        with self.client() as client:
            found = client.read_flow_runs(
                flow_filter=named, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=200, offset=0
            )
        return [run for run in found if set(tags) <= set(run.tags) and run.state_type.value != "SCHEDULED"]

    def state(self, run: UUID) -> Any:
        with self.client() as client:
            return client.read_flow_run(run).state

    def final(self, run: UUID) -> Any:
        """The state that a run ends in."""
        wait_until(lambda: self.state(run).is_final(), self)
        return self.state(run)

    def said(self) -> str:
        return self.log_file.read_text()

    def ran(self) -> str:
        """The output of the service's runs."""
        return (self.folder / ".state/prefect/runner.log").read_text()

    def child(self, word: str) -> psutil.Process:
        """The child process of the service that has this word in its command."""
        (found,) = [each for each in psutil.Process(self.process.pid).children() if word in each.cmdline()]
        return found


def wait_until(done: Callable[[], Any], service: Service) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert service.process.poll() is None, service.said()
        assert time.monotonic() < deadline, service.said() + service.ran()
        time.sleep(0.2)


@contextlib.contextmanager
def running(folder: Path, prefect_home: Path) -> Iterator[Service]:
    """Start the service in a new clone at `folder`, with a training of seconds; stop it at the end."""
    sh(ROOT, "git", "clone", "-q", str(ROOT), str(folder))
    give_prefect(folder / ".state/prefect", prefect_home)
    text = presets.text(folder / "presets" / "quick.yaml")
    for name, quick, quicker in (
        ("images", 16000, 1600), ("warmup", 640, 160), ("checkpoint_every", 3200, 160), ("images", 20000, 2000),
        ("count", 500, 100), ("blocks", 10, 2), ("splits", 5, 2),
    ):  # fmt: skip
        assert f" {name}: {quick} " in text
        text = text.replace(f" {name}: {quick} ", f" {name}: {quicker} ")
    (folder / "params.yaml").write_text(text)
    shutil.copy(folder / "assets" / "datasets" / "digits.yaml", folder / "data.dvc")
    ports = [prefect_server.free_port(), prefect_server.free_port()]
    log = folder.with_name("service.log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [DDPM, "serve", "--cron", "0 0 1 1 *",
             "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])],
            cwd=folder, env=environment(folder), stdout=output, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
    made = Service(folder, process, *(f"http://127.0.0.1:{port}" for port in ports), log)
    try:
        wait_until(lambda: "Ctrl-C" in made.said(), made)
        yield made
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
