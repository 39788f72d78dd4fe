"""The service in its own clone: the tests depend on their order, and kill each process once."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.clones import environment, left_over
from tests.support.repositories import DDPM, sh
from tests.support.service import PATIENCE, Service, running, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE)]
HOLDS_THE_SLOT = """\
import time
from ddpm.runtime import hardware
from flows.tasks import stage
hardware.gpu_present = lambda: True
stage.SLOT_LEASE = 60.0
with stage.slot("gpu"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path, tools_on_path: None) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service") / "clone", prefect_home) as made:
        yield made


@pytest.fixture(scope="module")
def zombie(service: Service) -> None:
    """A killed holder of the GPU slot; the following tests take longer than its lease."""
    told = environment(service.folder) | {
        "PREFECT_API_URL": f"{service.prefect}/api",
        "PREFECT_API_AUTH_STRING": service.secret,
    }
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS_THE_SLOT], cwd=service.folder, env=told, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()


def slots_held(service: Service) -> int:
    with service.client() as client:
        return int(client.read_global_concurrency_limit_by_name("gpu").active_slots)


def test_both_pages_answer_at_the_addresses_that_were_printed(service: Service) -> None:
    for address in (service.prefect, service.mlflow):
        assert address in service.said()
        with urllib.request.urlopen(address, timeout=60) as page:
            assert "<html" in page.read().decode().lower()


def test_a_second_service_in_the_checkout_is_refused(service: Service) -> None:
    second = subprocess.run(
        [DDPM, "serve"], cwd=service.folder, env=environment(service.folder),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert "the service runs in this checkout already" in second.stderr
    assert "Traceback" not in second.stderr


def test_of_three_concurrent_runs_two_are_skipped(service: Service, zombie: None) -> None:
    assert slots_held(service) == 1
    asked = [service.ask("retrain") for _ in range(2)]
    now = subprocess.run(
        [DDPM, "serve", "--now"], cwd=service.folder, env=environment(service.folder),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert now.returncode == 0, now.stderr
    address = re.search(rf"{service.prefect}/runs/flow-run/(\S+)", now.stdout)
    assert address is not None
    asked.append(UUID(address[1]))

    def skipped() -> list[UUID]:
        return [run for run in asked if service.state(run).name == "Skipped"]

    wait_until(lambda: len(skipped()) == 2, service)
    (works,) = set(asked) - set(skipped())
    assert service.state(works).is_running()
    for run in skipped():
        assert f"another run is active in this checkout: retrain ({works}), process " in service.state(run).message


def test_a_killed_run_is_crashed_and_resumed_once_from_the_checkpoint(service: Service) -> None:
    """The runner notices the death of its own run; the lock shows it to any process."""
    wait_until(lambda: list((service.folder / ".state/train").rglob("*.safetensors")), service)
    holder = json.loads((service.folder / ".state/turn.json").read_text())
    os.kill(holder["pid"], signal.SIGKILL)
    (killed,) = re.findall(r"\((\S+)\)", holder["run"])
    wait_until(lambda: service.state(UUID(killed)).is_crashed(), service)
    wait_until(lambda: service.runs("resumed"), service)
    (resumed,) = service.runs("resumed")
    assert f"resumes:{killed}" in resumed.tags
    assert service.final(resumed.id).name == "Completed", service.ran()
    assert "resuming at image" in service.ran()
    assert "resumes the crashed run" in service.said()
    assert service.runs("resumed")[0].id == resumed.id
    program = (
        "import json; from mlflow import MlflowClient; from ddpm import tracking; client = tracking.client();"
        "found = client.get_experiment_by_name('ddpm');"
        "print(json.dumps([run.info.status for run in client.search_runs([found.experiment_id])]))"
    )
    found = sh(service.folder, sys.executable, "-c", program)
    assert json.loads(found.splitlines()[-1]) == ["FINISHED"], "one run, which was closed and went on"


@pytest.mark.parametrize(("word", "name"), [("prefect", "Prefect's server"), ("mlflow", "MLflow's server")])
def test_a_killed_server_is_restarted(service: Service, word: str, name: str) -> None:
    first = service.child(word)
    first.kill()
    wait_until(lambda: f"{name} ended by SIGKILL; restarting it in 1s" in service.said(), service)
    address = {"prefect": f"{service.prefect}/api/health", "mlflow": f"{service.mlflow}/health"}[word]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return True
        except OSError:
            return False

    wait_until(answers, service)
    assert service.child(word).pid != first.pid


def test_the_champion_is_moved_from_prefects_page(service: Service) -> None:
    again, back = service.ask("promote", version=1, why="seen by eye"), service.ask("rollback", why="a try")
    state = service.final(again)
    assert state.is_completed(), service.ran()
    assert "champion of ddpm-digits is version 1" in state.message
    refused = service.final(back)
    assert refused.is_failed()
    assert "has had no champion but version 1" in refused.message or "no champion" in refused.message


def test_the_slot_of_a_killed_holder_is_free_after_its_lease(service: Service) -> None:
    wait_until(lambda: slots_held(service) == 0, service)


def test_sigterm_in_training_saves_and_leaves_nothing_behind(service: Service) -> None:
    params = service.folder / "params.yaml"
    trainings = service.folder / ".state/train"
    before = set(trainings.glob("*"))
    params.write_text(params.read_text().replace("images: 1600 ", "images: 160000 "))
    service.ask("retrain")
    wait_until(lambda: set(trainings.glob("*")) - before, service)
    (training,) = set(trainings.glob("*")) - before
    wait_until(lambda: list(training.rglob("*.safetensors")), service)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(PATIENCE) == 0, service.said()
    assert service.said().endswith("service: stopped\n")
    assert "Traceback" not in service.said()
    assert "the state is saved" in service.ran()
    assert left_over(service.folder) == []
    assert not (service.folder / ".state/prefect/server.json").exists()
