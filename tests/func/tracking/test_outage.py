"""A real MLflow server that is late, dies and comes back, under a training that must not notice."""

import time
from pathlib import Path

import numpy as np
import pytest

from ddpm import tracking
from ddpm.tracking.spool import Spool
from tests.support.records import DIGEST, free_port, points, server

pytestmark = pytest.mark.slow


def test_the_record_is_completed_once_after_an_outage(
    project: Path, tmp_path, empty_database, monkeypatch, capfd
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    away = tmp_path / "server"
    tracker = tracking.Tracker(DIGEST, interval=0.1)
    tracker.start({"train.lr": "0.1"}, {})  # the server is not there yet
    for images in (100, 200):
        tracker.metrics(images, {"loss": 1 / images})
    until(lambda: tracker.trouble is not None)
    with server(away, empty_database, port):
        until(lambda: tracker.trouble is None)
        tracker.metrics(300, {"loss": 1 / 300})
        tracker.picture("samples", np.zeros((4, 4), np.uint8), 300)
        until(lambda: shipped_to_end(DIGEST))
        tracker.metrics(400, {"loss": 1 / 400})  # may be under way when the server is killed
    for images in (500, 600):
        tracker.metrics(images, {"loss": 1 / images})
    tracker.finish("FINISHED")  # with the server gone
    assert "Training continues" in capfd.readouterr().err
    with pytest.raises(tracking.TrackingUnavailableError, match="does not answer"):
        tracking.replay(DIGEST)
    with server(away, empty_database, port):
        run_id = tracking.replay(DIGEST)
        assert run_id
        assert tracking.replay(DIGEST) == run_id
        assert [step for step, _ in points(run_id, "train/loss")] == [100, 200, 300, 400, 500, 600]
        run = tracking.client().get_run(run_id)
        assert run.info.status == "FINISHED"
        assert run.data.params == {"train.lr": "0.1"}
        assert len(tracking.client().search_runs([run.info.experiment_id])) == 1
        assert len(tracking.client().list_artifacts(run_id, "images")) == 2


def until(condition) -> None:
    while not condition():  # the test's own time limit ends it
        time.sleep(0.05)


def shipped_to_end(digest: str) -> bool:
    spool = Spool(tracking.SPOOLS / digest)
    return any(f'"offset": {spool.events.stat().st_size}' in f.read_text() for f in spool.folder.glob("shipped-*"))
