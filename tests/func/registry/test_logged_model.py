"""Versions in MLflow's list of logged models, on a real database."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import LoggedModel, LoggedModelStatus

from ddpm import registry, tracking
from tests.func.registry.conftest import EVIDENCE, NAME, die_at
from tests.support.records import DIGEST

Make = Callable[..., int]


@pytest.fixture
def run_id(project: Path) -> str:
    """A run with parameters and a score."""
    history = project / "history.csv"
    history.write_text("images,loss,lr,grad_norm\n800,0.5,0.001,1.0\n")
    return tracking.complete(DIGEST, EVIDENCE, params={"train.lr": "0.001"}, history=history)


def logged(run_id: str) -> list[LoggedModel]:
    connection = tracking.client()
    return list(connection.search_logged_models([connection.get_run(run_id).info.experiment_id]))


def test_a_described_version_is_a_logged_model_with_scores_and_parameters(make: Make, run_id: str) -> None:
    number = make("a")
    registry.annotate(NAME, number, {"ddpm.verdict": "better"})
    for _ in range(2):
        registry.describe(NAME, number)
    (model,) = logged(run_id)
    assert (model.name, model.status, model.source_run_id) == (NAME, LoggedModelStatus.READY, run_id)
    assert model.params["train.lr"] == "0.001"
    assert {(each.key, each.step): each.value for each in model.metrics} == {
        ("eval/fid", 800): 30.0, ("train/loss", 800): 0.5, ("train/lr", 800): 0.001, ("train/grad_norm", 800): 1.0,
    }  # fmt: skip
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": "1"}]
    assert (model.tags["Load"], model.tags["Verdict"]) == (f"models:/{NAME}/1", "better")
    connection = tracking.client()
    assert [each.model_id for each in connection.get_run(run_id).outputs.model_outputs] == [model.model_id]
    assert len(connection.get_metric_history(run_id, "eval/fid")) == 1, "the run has its own points once"
    assert not Path(model.artifact_location.removeprefix("file://")).exists(), "the files are stored once"


@pytest.mark.parametrize("name", ["digits.v2", "ann's digits"])
def test_names_that_only_the_registry_takes_have_an_entry_each(
    project: Path, run_id: str, tiny_checkpoint: Path, name: str
) -> None:
    connection = tracking.client()
    connection.create_registered_model(name)
    for number in (1, 2):
        connection.create_model_version(name, tiny_checkpoint.as_uri(), run_id)
        registry.describe(name, number)
    assert sorted(each.tags["Load"] for each in logged(run_id)) == [f"models:/{name}/1", f"models:/{name}/2"]


@pytest.mark.parametrize("where", ["create_logged_model", "set_logged_model_tags", "finalize_logged_model"])
def test_an_interrupted_entry_is_completed_once(
    make: Make, run_id: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    number = make("a")
    die_at(monkeypatch, where, 1, lambda: registry.describe(NAME, number))
    registry.describe(NAME, number)
    (model,) = logged(run_id)
    assert model.status == LoggedModelStatus.READY
    assert "mlflow.modelVersions" in model.tags


def test_the_entry_goes_with_its_version(make: Make, run_id: str) -> None:
    for digest in ("a", "b", "c"):
        registry.describe(NAME, make(digest))
    assert registry.prune(NAME, 1) == [1]
    assert sorted(model.tags["Load"] for model in logged(run_id)) == [f"models:/{NAME}/{each}" for each in (2, 3)]
