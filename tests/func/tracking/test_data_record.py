"""The data record of a run: restored unchanged from a real record; drift is recorded once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.types import Schema

from ddpm import tracking
from ddpm.common import files
from ddpm.data import profile
from tests.support.records import DIGEST, points

FOUND: dict[str, Any] = {
    "drift": 0.3,
    "verdict": "beyond",
    "tests": [{"name": "brightness", "effect": 0.3, "p_corrected": 0.001}],
    "images": {"new": 40, "removed": 0, "duplicates": 1, "kept": 500},
    "feature_distance": {"value": 5.0, "floor": 1.0, "effect": 0.1},
}


@pytest.fixture
def outputs(project: Path) -> Path:
    """Write the outputs of prepare and features, and files that no run needs."""
    files.write_json(project / "out/prepare/profile.json", {"data_sha256": "d" * 64})
    for name in (
        "prepare/profile.npy",
        "prepare/images.npy",
        "features/train_features.npy",
        *tracking.data_record.FEATURES,
    ):
        files.write_bytes(project / "out" / name, f"content of {name}".encode())
    return project / "out"


def record() -> str:
    return tracking.complete(DIGEST, {"fid": 30.0}, tracking.data_record_files(), tracking.prepared_tags())


def test_what_is_shipped_comes_back_to_the_byte_and_nothing_else(outputs: Path, tmp_path: Path) -> None:
    run_id = record()
    tracking.download_data_record(run_id, tmp_path / "record")
    back = {
        path.relative_to(tmp_path / "record").as_posix(): path.read_bytes() for path in files_of(tmp_path / "record")
    }
    assert set(back) == {*tracking.data_record.PROFILE, *tracking.data_record.FEATURES}
    assert all((outputs / name).read_bytes() == content for name, content in back.items())
    assert tracking.prepared_sha256(run_id) == "d" * 64


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_extractor_without_weights_of_its_own_ships_none(outputs: Path, tmp_path: Path) -> None:
    (outputs / "features/extractor.safetensors").unlink()
    tracking.download_data_record(record(), tmp_path)
    assert {path.name for path in files_of(tmp_path / "features")} == {
        "features.json", "extractor.json", "reference.safetensors",
    }  # fmt: skip


def test_a_missing_profile_is_named(outputs: Path) -> None:
    (outputs / "prepare/profile.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"prepare/profile\.npy is missing"):
        record()


def test_a_run_from_before_and_a_run_that_is_gone_say_nothing_of_their_data(project: Path, tmp_path: Path) -> None:
    before = tracking.complete(DIGEST, {"fid": 30.0})
    assert tracking.prepared_sha256(before) is None
    assert tracking.prepared_sha256("0" * 32) is None
    tracking.download_data_record(before, tmp_path)
    assert not (tmp_path / "prepare").exists()


def test_the_first_comparison_of_a_run_stays(outputs: Path) -> None:
    """Run again once its model is champion, the data would be compared with themselves."""
    run_id = record()
    tracking.record_drift(run_id, FOUND)
    tracking.record_drift(run_id, FOUND | {"drift": 0.0, "verdict": "none", "tests": [], "feature_distance": None})
    run = tracking.client().get_run(run_id)
    assert run.data.tags["ddpm.drift"] == "beyond"
    numbers = {name: value for name, value in run.data.metrics.items() if name.startswith("drift.")}
    assert numbers == {
        "drift.size": 0.3, "drift.brightness": 0.3, "drift.brightness_p": 0.001, "drift.features": 0.1,
        "drift.feature_distance": 5.0, "drift.feature_distance_floor": 1.0, "drift.images_new": 40,
        "drift.images_removed": 0, "drift.images_duplicates": 1, "drift.images_kept": 500,
    }  # fmt: skip
    assert points(run_id, "drift.size") == [(0, 0.3)]
    assert files.read_json(Path(tracking.client().download_artifacts(run_id, "drift.json"))) == FOUND


@pytest.mark.usefixtures("project")
def test_the_page_of_a_run_names_its_data_set_once(tmp_path: Path) -> None:
    rows = np.zeros(5, profile.ROW)
    rows["label"] = [0, 1, 1, 1, -1]
    profile.Profile(rows, ("猫", "dog"), ("L",), 8, 1, "d" * 64).write(Path("out/prepare"))
    run_id = tracking.complete(DIGEST, {"fid": 30.0}, tags={"ddpm.data_hash": "c0b6.dir", "ddpm.git_sha": "abc"})
    for _ in range(2):
        tracking.record_dataset(run_id)
    (found,) = tracking.client().get_run(run_id).inputs.dataset_inputs
    dataset = found.dataset
    assert (dataset.name, dataset.digest, dataset.source_type) == ("data", "c0b6", "dvc")
    assert json.loads(dataset.source) == {"file": "data.dvc", "md5": "c0b6.dir", "commit": "abc"}
    assert json.loads(dataset.profile) == {
        "images": 5, "resolution": 8, "channels": 1, "classes": {"(unlabelled)": 1, "dog": 3, "猫": 1},
    }  # fmt: skip
    schema = json.loads(dataset.schema)["mlflow_tensorspec"]
    read = Schema.from_json(schema["features"]).inputs[0]
    assert (read.type, read.shape) == (np.dtype(np.uint8), (-1, 8, 8, 1))
    assert Schema.from_json(schema["targets"]).inputs[0].shape == (-1,)
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "training")]


@pytest.mark.usefixtures("project")
def test_data_without_a_hash_of_dvc_are_named_by_their_images() -> None:
    rows = np.zeros(5, profile.ROW)
    rows["label"] = -1
    profile.Profile(rows, (), ("L",), 8, 1, "d" * 64).write(Path("out/prepare"))
    run_id = tracking.complete(DIGEST, {"fid": 30.0}, tags={"ddpm.data_hash": "none"})
    tracking.record_dataset(run_id)
    (found,) = tracking.client().get_run(run_id).inputs.dataset_inputs
    assert found.dataset.digest == "d" * 32
    assert set(json.loads(found.dataset.schema)["mlflow_tensorspec"]) == {"features"}
