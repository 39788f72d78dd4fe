"""Parameters, tags and scores of a run, in batches that MLflow takes, each number once."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ddpm.tracking.names import metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

BEGUN_TAG = "ddpm.begun."
METRICS_PER_BATCH = 1000
TAGS_PER_BATCH = 100


def log_metrics(connection: "MlflowClient", run_id: str, points: "list[Metric]") -> None:
    """Log points, in batches."""
    for first in range(0, len(points), METRICS_PER_BATCH):
        connection.log_batch(run_id, metrics=points[first : first + METRICS_PER_BATCH])


def log_params(connection: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    """Log parameters; MLflow never changes one, so a value that differs goes to the tag `changed.<key>`."""
    from mlflow.entities import Param

    logged = connection.get_run(run_id).data.params
    new = [Param(key, value) for key, value in params.items() if key not in logged]
    for first in range(0, len(new), TAGS_PER_BATCH):
        connection.log_batch(run_id, params=new[first : first + TAGS_PER_BATCH])
    log_tags(connection, run_id, {f"changed.{k}": v for k, v in params.items() if logged.get(k, v) != v})


def log_tags(connection: "MlflowClient", run_id: str, tags: Mapping[str, Any]) -> None:
    """Set tags, in batches."""
    from mlflow.entities import RunTag

    new = [RunTag(key, str(value)) for key, value in tags.items()]
    for first in range(0, len(new), TAGS_PER_BATCH):
        connection.log_batch(run_id, tags=new[first : first + TAGS_PER_BATCH])


def log_scores(
    connection: "MlflowClient", run_id: str, group: str, identity: str, values: Mapping[str, float], step: int = 0
) -> None:
    """Log numbers once, even if the process is killed in between and the call is repeated.

    Their time is kept in a tag before them, so that the same numbers again are the same points to MLflow's database.
    group: names the tag. identity: hash of what the numbers were made from; another one is another set of points.
    """
    from mlflow.entities import Metric

    begun = connection.get_run(run_id).data.tags.get(BEGUN_TAG + group, "").split(" ")
    moment = begun[1] if begun[0] == identity else str(time.time_ns() // 1_000_000)
    log_tags(connection, run_id, {BEGUN_TAG + group: f"{identity} {moment}"})
    points = [Metric(metric_name(key), value, int(moment), step) for key, value in values.items()]
    log_metrics(connection, run_id, points)
