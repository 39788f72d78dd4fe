"""The tracker against a real MLflow database: one run per training, every point once, whatever dies."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ddpm import tracking
from ddpm.tracking import store
from ddpm.tracking import sync as syncing
from ddpm.tracking.spool import Spool
from tests.support import forked
from tests.support.records import DIGEST, points

TRAINER = """
import sys, time
from ddpm.tracking import Tracker
first, last, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with Tracker(sys.argv[4], interval=0.05) as tracker:
    tracker.start({"train.lr": "0.1"}, {})
    for images in range(first, last + 1, 100):
        tracker.metrics(images, {"loss": 1 / images, "rate": time.time()})
        print(images, flush=True)
        time.sleep(pause)
    tracker.finish("FINISHED")
"""


def trainer(first: int, last: int, pause: float = 0.0, digest: str = DIGEST) -> forked.Process:
    return forked.start([sys.executable, "-c", TRAINER, str(first), str(last), str(pause), digest])


def status(run_id: str) -> str:
    return str(tracking.client().get_run(run_id).info.status)


def spooled(*steps: int, digest: str = DIGEST) -> Spool:
    spool = Spool(tracking.SPOOLS / digest)
    with spool.writing():
        spool.start({"train.lr": "0.1"}, {"ddpm.git_sha": "abc"})
        for images in steps:
            spool.metrics(images, {"loss": 1 / images})
    return spool


def test_a_training_is_one_run_with_everything(project: Path) -> None:
    with tracking.Tracker(DIGEST, interval=0.05) as tracker:
        tracker.start({"train.lr": "0.1"}, {"ddpm.git_sha": "abc"})
        tracker.metrics(100, {"loss": 0.5, "lr": 0.1})
        tracker.picture("samples", np.zeros((8, 8, 1), np.uint8), 100)
        tracker.metrics(200, {"loss": 0.25, "lr": 0.05})
        tracker.finish("FINISHED")
    run_id = tracking.run_of(DIGEST)
    assert run_id
    run = tracking.client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train.lr": "0.1"}
    assert run.data.tags["ddpm.digest"] == DIGEST
    assert run.data.tags["ddpm.git_sha"] == "abc"
    assert points(run_id, "train/loss") == [(100, 0.5), (200, 0.25)]
    assert len(tracking.client().list_artifacts(run_id, "images")) == 2


def test_a_killed_training_goes_on_in_the_same_run_without_a_double_point(project: Path) -> None:
    child = trainer(100, 100_000, pause=0.02)
    assert child.stdout
    for line in child.stdout:  # killed while it trains and ships
        if int(line) >= 8000:
            os.kill(child.pid, signal.SIGKILL)
            break
    said = [int(line) for line in child.stdout]
    child.wait()
    last = max([8000, *said])
    assert trainer(2000, last + 3000).wait() == 0  # from its last checkpoint
    run_id = tracking.replay(DIGEST)
    assert run_id
    for key in ("train/loss", "train/rate"):
        steps = [step for step, _ in points(run_id, key)]
        assert steps == list(range(100, last + 3001, 100))
    assert status(run_id) == "FINISHED"
    assert len(tracking.client().search_runs([tracking.client().get_run(run_id).info.experiment_id])) == 1


def test_shipping_again_from_an_old_position_doubles_nothing(project: Path) -> None:
    spool = spooled(100, 200)
    syncing.sync(spool)
    (position,) = spool.folder.glob("shipped-*.json")
    old = position.read_bytes()
    with spool.writing():
        spool.metrics(300, {"loss": 0.1})
        spool.finish("FINISHED")
    run_id = syncing.sync(spool)
    position.write_bytes(old)  # killed after the batch, before the position was written
    assert syncing.sync(spool) == run_id
    position.unlink()
    assert syncing.sync(spool) == run_id
    assert [step for step, _ in points(run_id, "train/loss")] == [100, 200, 300]


def test_a_trainer_that_goes_back_repeats_nothing_in_mlflow(project: Path) -> None:
    spool = Spool(tracking.SPOOLS / DIGEST)
    for first, synced in ((100, True), (200, False), (200, True)):
        with spool.writing():
            spool.start({}, {"ddpm.git_sha": str(first)})
            for images in range(first, first + 300, 100):
                spool.metrics(images, {"loss": 1 / images, **({"rate": 5.0} if first == 200 else {})})
            spool.picture("samples", np.full((4, 4), first, np.uint8), 200)
        time.sleep(0.002)
        run_id = syncing.sync(spool) if synced else ""
    assert [step for step, _ in points(run_id, "train/loss")] == [100, 200, 300, 400]
    assert [step for step, _ in points(run_id, "train/rate")] == [200, 300, 400]
    assert len(tracking.client().list_artifacts(run_id, "images")) == 2
    assert tracking.client().get_run(run_id).data.tags["ddpm.git_sha"] == "100", "where the training began"


def test_a_second_clone_that_trains_the_same_adds_nothing(project: Path, tmp_path: Path, monkeypatch) -> None:
    run_id = syncing.sync(spooled(100, 200))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.tracking_uri())
    elsewhere = tmp_path / "clone"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    time.sleep(0.002)
    assert syncing.sync(spooled(100, 200, 300)) == run_id
    assert [step for step, _ in points(run_id, "train/loss")] == [100, 200, 300]


def test_a_run_deleted_in_mlflow_is_made_anew(project: Path) -> None:
    spool = spooled(100)
    run_id = syncing.sync(spool)
    tracking.client().delete_run(run_id)
    again = syncing.sync(spool)
    assert again != run_id
    assert [step for step, _ in points(again, "train/loss")] == [100]


def test_a_changed_parameter_is_kept_beside_the_first(project: Path) -> None:
    spool = spooled(100)
    syncing.sync(spool)
    with spool.writing():
        spool.start({"train.lr": "0.1", "sample.steps": "20"}, {})
        spool.start({"train.lr": "0.1", "sample.steps": "50"}, {})
    run = tracking.client().get_run(syncing.sync(spool))
    assert run.data.params == {"train.lr": "0.1", "sample.steps": "20"}
    assert run.data.tags["changed.sample.steps"] == "50"
    assert "changed.train.lr" not in run.data.tags


@pytest.mark.parametrize(("error", "expected"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_training_that_raises_ends_its_run(project: Path, error: type[BaseException], expected: str) -> None:
    def train() -> None:
        with tracking.Tracker(DIGEST, interval=0.05) as tracker:
            tracker.start({}, {})
            raise error

    with pytest.raises(error):
        train()
    run_id = tracking.replay(DIGEST)
    assert run_id
    assert status(run_id) == expected


def test_the_dead_are_closed_and_the_living_left_alone(project: Path) -> None:
    dead, alive = "dd" * 32, "aa" * 32
    run_id = syncing.sync(spooled(100, digest=dead))
    assert status(run_id) == "RUNNING"
    child = trainer(100, 100_000, pause=0.02, digest=alive)
    try:
        assert child.stdout
        child.stdout.readline()
        assert tracking.close_abandoned() in ([dead], [])  # the living trainer closes the dead one too
    finally:
        child.kill()
        child.wait()
    assert status(run_id) == "KILLED"
    assert tracking.close_abandoned() == [alive]
    assert tracking.close_abandoned() == []


CREATOR = "from ddpm import tracking; print(tracking.client().get_experiment_by_name('Default').name)"


@pytest.mark.slow
def test_processes_create_the_embedded_database_together(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    children = [
        subprocess.Popen([sys.executable, "-c", CREATOR], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    answers = [child.communicate() for child in children]
    assert [child.returncode for child in children] == [0] * 3, answers
    assert [out for out, _ in answers] == [b"Default\n"] * 3
    assert not list((tmp_path / ".state/mlflow").glob(".new*"))


def test_a_leftover_of_a_killed_creation_is_no_database(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".state/mlflow"
    folder.mkdir(parents=True)
    (folder / ".new-dead.db").write_bytes(b"half")
    assert tracking.client().get_experiment_by_name("Default")
    assert not (folder / ".new-dead.db").exists()


def test_a_uri_is_shown_without_its_password() -> None:
    assert tracking.redact_text("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert tracking.redact_text("postgresql://u:p@db/mlflow") == "postgresql://db/mlflow"


class Guarded(http.server.BaseHTTPRequestHandler):
    """A server that wants a password for everything."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_server_that_asks_for_a_password_is_there() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Guarded) as guarded:
        threading.Thread(target=guarded.handle_request, daemon=True).start()
        store.probe(f"http://me:secret@127.0.0.1:{guarded.server_port}")
    with pytest.raises(tracking.TrackingUnavailableError) as raised:
        store.probe(f"http://me:secret@127.0.0.1:{guarded.server_port}")
    assert "secret" not in str(raised.value)
