"""Completing a record: idempotent, from whatever is left, and never taking away where a training came from."""

import json
from pathlib import Path

import pytest

from ddpm import tracking
from ddpm.common.locks import LockBusyError
from ddpm.tracking import sync as syncing
from ddpm.tracking.spool import Spool
from tests.support.records import DIGEST, points

METRICS = {"fid": 30.5, "class_histogram": {"a/b:c": 0.1}, "conditions": {"steps": 20}, "extractor": "classifier"}


@pytest.fixture
def outputs(project: Path) -> list[Path]:
    """Write the outputs of the stages."""
    files = {
        "out/train/history.csv": "images,loss,lr,grad_norm\n100,0.5,0.1,1\n200,0.25,0.05,0.5\n",
        "out/evaluate/pictures/samples.png": "png",
        "out/evaluate/pictures/deep/curve.png": "png",
        "out/report/index.html": "page",
    }
    for name, content in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return [Path("out/report/index.html"), Path("out/evaluate/pictures")]


def artifacts(run_id: str, folder: str = "") -> set[str]:
    found = tracking.client().list_artifacts(run_id, folder)
    return {
        name for each in found for name in (artifacts(run_id, each.path) if each.is_dir else {each.path})
    }  # fmt: skip


def test_a_restored_training_gets_its_run_from_the_history(outputs: list[Path]) -> None:
    run_id = tracking.complete(
        DIGEST, METRICS, outputs, {"ddpm.git_sha": "abc"}, params={"a.b": "1"}, history=Path("out/train/history.csv")
    )
    run = tracking.client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a.b": "1"}
    assert run.data.tags["ddpm.git_sha"] == "abc"
    assert points(run_id, "train/loss") == [(100, 0.5), (200, 0.25)]
    assert points(run_id, "eval/fid") == [(200, 30.5)]
    assert set(run.data.metrics) == {"train/loss", "train/lr", "train/grad_norm", "eval/fid"}, (
        "all else in the artifact"
    )
    assert artifacts(run_id) == {
        "report/index.html", "evaluate/pictures/samples.png", "evaluate/pictures/deep/curve.png", "metrics.json",
    }  # fmt: skip
    saved = tracking.client().download_artifacts(run_id, "metrics.json")
    assert json.loads(Path(saved).read_text()) == METRICS


def test_the_description_names_the_extractor_of_fid_and_another_person_s_text_stays(outputs: list[Path]) -> None:
    metrics = METRICS | {"conditions": {"extractor": "classifier", "count": 2000}}
    history, note = Path("out/train/history.csv"), "mlflow.note.content"
    run_id = tracking.complete(DIGEST, metrics, outputs, history=history)
    assert tracking.client().get_run(run_id).data.tags[note] == "FID (classifier, 2,000 images) 30.5"
    tracking.complete(DIGEST, metrics | {"fid": 28.0}, outputs, history=history)
    assert tracking.client().get_run(run_id).data.tags[note] == "FID (classifier, 2,000 images) 28.0"
    tracking.client().set_tag(run_id, note, "my best run")
    tracking.complete(DIGEST, metrics | {"fid": 27.0}, outputs, history=history)
    assert tracking.client().get_run(run_id).data.tags[note] == "my best run"


def test_completing_again_does_nothing(outputs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    history = Path("out/train/history.csv")
    run_id = tracking.complete(DIGEST, METRICS, outputs, {"ddpm.git_sha": "abc"}, history=history)
    before = tracking.client().get_run(run_id).to_dictionary()
    assert tracking.complete(DIGEST, METRICS, outputs, {"ddpm.git_sha": "abc"}, history=history) == run_id
    assert tracking.client().get_run(run_id).to_dictionary() == before
    assert points(run_id, "eval/fid") == [(200, 30.5)]


def test_a_new_evaluation_of_the_same_training_goes_to_the_same_run(outputs: list[Path]) -> None:
    history = Path("out/train/history.csv")
    run_id = tracking.complete(DIGEST, METRICS, outputs, {"ddpm.git_sha": "abc"}, history=history)
    again = tracking.complete(
        DIGEST, {**METRICS, "fid": 28.0}, outputs, {"ddpm.git_sha": "def", "ddpm.weights": "w"}, history=history
    )
    assert again == run_id
    run = tracking.client().get_run(run_id)
    assert run.data.metrics["eval/fid"] == 28.0
    assert run.data.tags["ddpm.weights"] == "w"
    assert run.data.tags["ddpm.git_sha"] == "abc", "lineage is that of the training"
    assert points(run_id, "train/loss") == [(100, 0.5), (200, 0.25)]


def test_a_half_recorded_training_is_filled_in(outputs: list[Path]) -> None:
    spool = Spool(tracking.SPOOLS / DIGEST)
    with spool.writing():
        spool.start({}, {})
        spool.metrics(100, {"loss": 0.5})
        spool.finish("KILLED")
    run_id = syncing.sync(spool)
    assert tracking.complete(DIGEST, METRICS, outputs, history=Path("out/train/history.csv")) == run_id
    assert points(run_id, "train/loss") == [(100, 0.5), (200, 0.25)]
    assert tracking.client().get_run(run_id).info.status == "FINISHED"


def test_a_missing_artifact_is_named_before_anything_is_recorded(project: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        tracking.complete(DIGEST, METRICS, [Path("nothing-here")])
    assert tracking.run_of(DIGEST) is None


def test_a_damaged_history_is_named(outputs: list[Path]) -> None:
    Path("out/train/history.csv").write_text("images,loss\n100,x\n")
    with pytest.raises(ValueError, match=r"history\.csv is damaged"):
        tracking.complete(DIGEST, METRICS, outputs, history=Path("out/train/history.csv"))


def test_a_running_training_is_not_completed(outputs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddpm.tracking.record.PATIENCE", 0.0)
    with Spool(tracking.SPOOLS / DIGEST).writing(), pytest.raises(LockBusyError):
        tracking.complete(DIGEST, METRICS, outputs)


def test_a_curve_of_an_older_version_goes_on_under_its_name(project: Path) -> None:
    """Its run has `loss`, without section; a curve in two pieces would be none."""
    spool = Spool(tracking.SPOOLS / DIGEST)
    with spool.writing():
        spool.start({}, {})
        spool.metrics(100, {"loss": 0.5})
        spool.metrics(200, {"loss": 0.25, "lr": 0.1})
    connection = tracking.client()
    experiment = tracking.store.experiment(connection, "ddpm")
    run = connection.create_run(experiment, tags={syncing.DIGEST_TAG: DIGEST})
    connection.log_metric(run.info.run_id, "loss", 0.5, step=100)
    assert syncing.sync(spool) == run.info.run_id
    assert points(run.info.run_id, "loss") == [(100, 0.5), (200, 0.25)]
    assert points(run.info.run_id, "train/lr") == [(200, 0.1)]
    assert points(run.info.run_id, "train/loss") == []
