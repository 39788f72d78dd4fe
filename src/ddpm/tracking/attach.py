"""Files and numbers that are found about a model after its evaluation, added to the run that it came from."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ddpm import files
from ddpm.tracking import store
from ddpm.tracking.record import contents
from ddpm.tracking.ship import log_tags

ATTACHED_TAG = "ddpm.attached."


def attach(run_id: str, artifacts: Sequence[Path], metrics: Mapping[str, float] | None = None, step: int = 0) -> None:
    """Add files (those under out/ or .state/ keep their path in it) and numbers to a run; again, equal ones do nothing.

    Raises TrackingUnavailableError when MLflow does not answer, FileNotFoundError for a missing file.
    """
    from mlflow.entities import Metric

    there = store.client().get_run(run_id).data.tags
    connection = store.client()
    for name, path in contents(artifacts):
        tag, found = ATTACHED_TAG + name, files.sha256_file(path)
        if there.get(tag) == found:
            continue
        parent = str(Path(name).parent)
        connection.log_artifact(run_id, str(path), None if parent == "." else parent)
        log_tags(connection, run_id, {tag: found})
    if metrics:
        now = time.time_ns() // 1_000_000
        connection.log_batch(run_id, metrics=[Metric(key, value, now, step) for key, value in metrics.items()])
