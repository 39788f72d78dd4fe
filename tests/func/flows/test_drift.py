"""The drift check in a real repository with record, server and champion: data that pass, and data that stop a run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddpm import tracking
from ddpm.common import files
from ddpm.config import params
from tests.support import watched
from tests.support.records import use_embedded
from tests.support.repositories import sh

pytestmark = pytest.mark.usefixtures("prefect")
DVC_YAML = """\
stages:
  prepare:
    cmd: exec python -m ddpm.stages.prepare
    deps: [data]
    params: [prepare.resolution]
    outs: [out/prepare]
  train:
    cmd: cp out/prepare/profile.json trained.json
    deps: [out/prepare]
    outs: [trained.json]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, tools_on_path: None) -> Path:
    """A repository with prepared images and their features, without a champion; read-only."""
    from ddpm.stages import features, prepare

    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        watched.write_params()
        watched.write_images(0, count=150)
        Path("dvc.yaml").write_text(DVC_YAML)
        sh(folder, "git", "init", "-q")
        sh(folder, "dvc", "init", "-q")
        sh(folder, "dvc", "add", "-q", "data")
        prepare.main()
        features.main()
    return folder


@pytest.fixture
def repository(made: Path, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy with its own record, as the current folder."""
    folder = tmp_path / "repository"
    shutil.copytree(made, folder, symlinks=True)
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    use_embedded(folder, empty_database)
    return folder


Compared = Callable[..., tuple[Any, Any]]


@pytest.fixture
def compared(repository: Path) -> Compared:
    """A function that runs the comparison as a flow does, and returns the task's state and result."""

    def run(stop: bool = True) -> tuple[Any, Any]:
        from prefect import flow

        from flows.tasks import drift

        @flow(name="watching", persist_result=False)
        def watching() -> list[Any]:
            state = drift.compare(params.load(), stop, return_state=True)
            return [state, state.result()]

        state, found = watching()
        return state, found

    return run


def found_files() -> list[Path]:
    return sorted(Path(".state/drift").glob("*.json"))


def test_without_a_champion_it_is_skipped(compared: Compared) -> None:
    state, found = compared()
    assert (state.name, found) == ("Skipped", None)
    assert "no champion yet" in state.message
    assert found_files() == []


def test_the_champions_own_data_need_no_comparison(
    compared: Compared, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.tasks import drift

    watched.make_champion(tiny_checkpoint)
    monkeypatch.setattr(drift, "measure", lambda *_: pytest.fail("nothing was to be measured"))
    state, found = compared()
    assert state.name == "Cached"
    assert (found["verdict"], found["drift"], found["images"]["kept"]) == ("none", 0.0, 300)
    assert found["classes"] == {"lower": [150, 150], "upper": [150, 150]}
    assert files.read_json(found_files()[0]) == found


def test_with_a_champion_without_a_profile_it_is_skipped(compared: Compared, tiny_checkpoint: Path) -> None:
    number = watched.make_champion(tiny_checkpoint)
    from ddpm import registry

    run_id = registry.version(watched.NAME, number).run_id
    tracking.client().delete_tag(run_id, "ddpm.prepared")
    state, found = compared()
    assert (state.name, found) == ("Skipped", None)
    assert "version 1 has no profile of its data on record" in state.message


def test_without_the_record_it_is_skipped(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    state, found = compared()
    assert (state.name, found) == ("Skipped", None)
    assert "MLflow at http://127.0.0.1:9 does not answer" in state.message


def test_changed_data_are_measured_once_and_a_manual_run_continues(compared: Compared, tiny_checkpoint: Path) -> None:
    from ddpm.stages import prepare

    watched.make_champion(tiny_checkpoint)
    watched.write_images(1, brighter=70, count=150)
    prepare.main()
    state, found = compared(stop=False)
    assert state.name == "Completed"
    assert (found["champion"]["version"], found["verdict"]) == (1, "beyond")
    assert found["images"] == {"new": 300, "removed": 0, "duplicates": 0, "kept": 300}
    assert found["feature_distance"]["value"] > found["feature_distance"]["floor"]
    assert all(name in found["words"] for name in ("brightness", "features", "300 new"))
    assert [path.stem for path in found_files()] == [found["data_sha256"]]
    again, kept = compared(stop=False)
    assert (again.name, kept) == ("Cached", found)


def test_a_scheduled_run_fails_before_training_until_the_drift_is_accepted(
    repository: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import retrain
    from flows.tasks import drift

    watched.make_champion(tiny_checkpoint)
    watched.write_images(0, brighter=70, count=150)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(params.__file__).parents[1])]))
    state = retrain.retrain(return_state=True)
    assert state.is_failed()
    error = state.result(raise_on_failure=False)
    assert isinstance(error, drift.DriftError)
    for words in ("brightness", "beyond flow.max_drift = 0.15", "ddpm run", "--accept-drift", "contact.png"):
        assert words in str(error)
    assert not Path("trained.json").exists()

    accepted = retrain.retrain(accept_drift=True, return_state=True)
    assert Path("trained.json").exists()
    assert accepted.is_failed(), "this repository trains nothing that could be registered"
    assert isinstance(accepted.result(raise_on_failure=False), FileNotFoundError)
