"""The data behind a model: what of them goes into the run of its training, so that later data can be compared.

The prepared images themselves stay with DVC. The run gets their profile, the extractor that evaluation used, and the
moments of the training images' features; and, once the run is recorded, how its data differed from the champion's.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.data import profile
from ddpm.tracking import store
from ddpm.tracking.log import log_scores

PREPARED_TAG, DRIFT_TAG = "ddpm.prepared", "ddpm.drift"
PROFILE = ("prepare/profile.json", "prepare/profile.npy")
FEATURES = (
    "features/features.json", "features/extractor.json", "features/extractor.safetensors",
    "features/reference.safetensors",
)  # fmt: skip

MOST_CLASSES = 1000


def data_record_files(out: Path = Path("out")) -> list[Path]:
    """The data files to keep with a run. Inception and DINOv2 are kept without their weights."""
    return [out / name for name in (*PROFILE, *FEATURES) if (out / name).exists() or name in PROFILE]


def record_dataset(run_id: str, out: Path = Path("out")) -> None:
    """Name the data set of a training on its run's page: digest, source, schema and counts of images; once per run.

    The digest is DVC's hash of the data, as in `data.dvc`; without that file, the first half of the hash of the
    prepared images.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    connection = store.client()
    run = connection.get_run(run_id)
    if run.inputs and run.inputs.dataset_inputs:
        return
    tags, found = run.data.tags, profile.load(out / "prepare")
    digest = tags.get("ddpm.data_hash", "none").removesuffix(".dir")
    counts: dict[str, Any] = {"images": len(found.rows), "resolution": found.resolution, "channels": found.channels}
    counts |= {} if found.kind == "images" else {"kind": found.kind}
    source = {"file": "data.dvc", "md5": tags.get("ddpm.data_hash"), "commit": tags.get("ddpm.git_sha")}
    dataset = Dataset(
        name="data",
        digest=digest if digest != "none" else found.data_sha256[:32],
        source_type="dvc",
        source=json.dumps(source),
        schema=json.dumps(_schema(found)),
        profile=json.dumps(counts | {"classes": dict(sorted(_class_counts(found).items()))}, ensure_ascii=False),
    )
    connection.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _schema(found: profile.Profile) -> dict[str, Any]:
    """The arrays that a training reads, in MLflow's form.

    Images uint8 (N, H, W, C) or series float32 (N, L, C), and labels int64 (N,).
    """
    side, shapes = found.resolution, {}
    stored = ("float32", [side, found.channels])
    if found.kind == "images":
        stored = ("uint8", [side, side, found.channels])
    for part, (dtype, shape) in {"features": stored, "targets": ("int64", list[int]())}.items():
        if part == "features" or found.classes:
            tensor = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
            shapes[part] = json.dumps([tensor])
    return {"mlflow_tensorspec": shapes}


def _class_counts(found: profile.Profile) -> Counter[str]:
    """Images by class; MLflow keeps a megabyte, so many classes are left to the artifact."""
    return found.class_counts() if len(found.classes) <= MOST_CLASSES else Counter()


def prepared_tags(out: Path = Path("out")) -> dict[str, str]:
    """The tag that identifies the prepared images of a training."""
    return {PREPARED_TAG: files.read_json(out / PROFILE[0])["data_sha256"]}


def prepared_sha256(run_id: str) -> str | None:
    """The identity of the prepared images that a run was trained on; None when its record does not say."""
    run = store.existing_run(store.client(), run_id)
    return None if run is None else run.data.tags.get(PREPARED_TAG)


def download_data_record(run_id: str, folder: Path) -> None:
    """Put what `data_record_files` named, as far as the run has it, into `folder`: `prepare/...` and `features/...`."""
    connection = store.client()
    for part in ("prepare", "features"):
        for found in connection.list_artifacts(run_id, part):
            if found.path in (*PROFILE, *FEATURES):
                target = folder / found.path
                target.parent.mkdir(parents=True, exist_ok=True)
                # Stores differ in whether a file keeps its folder; the answer says where it is.
                os.replace(connection.download_artifacts(run_id, found.path, str(folder)), target)


def record_drift(run_id: str, found: Mapping[str, Any]) -> None:
    """Write the comparison with the champion's data into a run: metrics `drift.*`, drift.json, and a tag.

    Only the first counts: once the model is champion itself, its data are compared with themselves.
    """
    connection = store.client()
    if DRIFT_TAG in connection.get_run(run_id).data.tags:
        return
    values = {f"drift.{name}": value for name, value in _numbers(found)}
    log_scores(connection, run_id, "drift", files.sha256_json(values), values)
    connection.log_dict(run_id, dict(found), "drift.json")
    connection.set_tag(run_id, DRIFT_TAG, found["verdict"])  # last: it says that all of the above is there


def _numbers(found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Sizes of the differences, and counts of images."""
    yield "size", float(found["drift"])
    for test in found["tests"]:
        yield test["name"], float(test["effect"])
        yield f"{test['name']}_p", float(test["p_corrected"])
    for name, count in found["images"].items():
        yield f"images_{name}", float(count)
    if distance := found["feature_distance"]:
        yield "features", float(distance["effect"])
        yield "feature_distance", float(distance["value"])
        yield "feature_distance_floor", float(distance["floor"])
