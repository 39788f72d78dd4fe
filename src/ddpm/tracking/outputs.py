"""Completion of the record from the stages' outputs in out/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.config import params
from ddpm.provenance.patch import changes
from ddpm.provenance.tags import lineage
from ddpm.tracking.data_record import data_record_files, prepared_tags
from ddpm.tracking.record import complete

MODEL, HISTORY = Path("out/train/model"), Path("out/train/history.csv")
METRICS, PICTURES = Path("out/evaluate/metrics.json"), Path("out/evaluate/pictures")


def record_outputs(settings: params.Params, metrics: Mapping[str, Any]) -> str:
    """Complete the MLflow run of the training under out/ with its evaluation; return the run's ID."""
    digest = files.read_json(MODEL / "config.json")["digest"]
    weights = {"ddpm.weights": files.sha256_file(MODEL / "weights.safetensors")}
    changed = changes()
    return complete(
        digest,
        metrics,
        [PICTURES, *data_record_files()],
        lineage(changed) | weights | prepared_tags(),
        params=params.flatten(settings),
        history=HISTORY,
        patch=changed.content,
    )
