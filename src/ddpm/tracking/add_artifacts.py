"""Files and numbers that are found about a model after its evaluation, added to the run that it came from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ddpm.common import files
from ddpm.tracking import store
from ddpm.tracking.log import log_scores, log_tags
from ddpm.tracking.record import contents

ATTACHED_TAG = "ddpm.attached."


def add_artifacts(run_id: str, artifacts: Sequence[Path], metrics: Mapping[str, float] | None = None) -> bool:
    """Add files (those under out/ or .state/ keep their path in it) to a run, and the numbers that they tell of.

    Files that are there already are left, and the numbers too if all are; returns whether any was new.
    Raises TrackingUnavailableError when MLflow does not answer, FileNotFoundError for a missing file.
    """
    connection = store.client()
    there = connection.get_run(run_id).data.tags
    marks = {}
    for name, path in contents(artifacts):
        tag, found = ATTACHED_TAG + name, files.sha256_file(path)
        if there.get(tag) == found:
            continue
        parent = str(Path(name).parent)
        connection.log_artifact(run_id, str(path), None if parent == "." else parent)
        marks[tag] = found
    if marks:
        if metrics:
            log_scores(connection, run_id, "attached", files.sha256_json([marks, dict(metrics)]), metrics)
        log_tags(connection, run_id, marks)  # last: they say that all of the above is there
    return bool(marks)
