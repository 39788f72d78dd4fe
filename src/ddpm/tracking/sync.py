"""Shipping of events from the spool to MLflow: in batches, each event once.

Where shipping stands is a small file beside the events, per tracking server. Killed between a batch and that file, the
batch is sent again: its points have the same key, step, value and time, which MLflow's database takes as one point.
A run that exists on the server while nothing is known here (a colleague trained the same) is only added to behind its
last step.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.common import files, outside
from ddpm.common.locks import locked
from ddpm.provenance.tags import LINEAGE_TAGS
from ddpm.tracking import store
from ddpm.tracking.names import metric_name
from ddpm.tracking.spool import SPOOLS, Event, Spool

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

DIGEST_TAG = "ddpm.digest"
PATCHES = "lineage"
"""The folder in a run that has its patch, `<SHA-256>.patch`."""
BEGUN_TAG = "ddpm.begun."
METRICS_PER_BATCH = 1000
TAGS_PER_BATCH = 100
PATIENCE = 120.0


def replay(digest: str, folder: Path = SPOOLS) -> str | None:
    """Ship what is not in MLflow yet; the run's id, or None when nothing is known of this training.

    Raises TrackingUnavailableError when MLflow does not answer; nothing is lost then.
    """
    spool = Spool(folder / outside.name(digest, "the training digest"))
    if not spool.events.exists():
        return run_of(digest)
    return sync(spool)


def run_of(digest: str) -> str | None:
    """The id of the run of this training, or None."""
    outside.name(digest, "the training digest")
    connection = store.client()
    found = find_run(connection, store.experiment(connection, store.experiment_name()), digest)
    return found.info.run_id if found else None


def find_run(connection: "MlflowClient", experiment: str, digest: str) -> "Run | None":
    """The first run that carries the digest."""
    found = connection.search_runs(
        [experiment], f"tags.`{DIGEST_TAG}` = '{digest}'", max_results=1, order_by=["attributes.start_time ASC"]
    )
    return found[0] if found else None


def sync(spool: Spool) -> str:
    """Bring MLflow up to date with the spool; the run's id."""
    connection = store.client()
    with locked(spool.folder / "ship.lock", "another process is shipping this record to MLflow", patience=PATIENCE):
        return _Sync(spool, connection).run()


class _Sync:
    """One pass over what is new in the spool."""

    def __init__(self, spool: Spool, connection: "MlflowClient") -> None:
        self.spool, self.connection = spool, connection
        self.experiment = store.experiment(connection, store.experiment_name())
        self.key = files.sha256_bytes(f"{store.tracking_uri()} {self.experiment}".encode())[:16]
        self.file = spool.folder / f"shipped-{self.key}.json"
        self.run_id, self.offset, self.floor = self._position()
        self.waiting: list[Metric] = []

    def run(self) -> str:
        """Ship event by event; metrics wait until a batch is full or something else comes."""
        behind = self.offset
        for event, behind in self.spool.read(self.offset):
            if event["event"] == "metrics":
                self._take(event)
                if len(self.waiting) >= METRICS_PER_BATCH - 100:
                    self._flush(behind)
                continue
            self._flush(None)
            getattr(self, f"_{event['event']}")(event)
            self._remember(behind)
        self._flush(behind)
        return self.run_id

    def _position(self) -> tuple[str, int, dict[str, int]]:
        """(run, offset, last step per metric that came from elsewhere); the run is created when there is none."""
        if self.file.exists():
            known = files.read_json(self.file)
            if self._is_there(known["run_id"]):
                return known["run_id"], known["offset"], known["floor"]
        found = find_run(self.connection, self.experiment, self.spool.digest)
        if found:
            floor = {key: self._last_step(found.info.run_id, key) for key in found.data.metrics}
            return found.info.run_id, 0, floor
        first = next((event for event, _ in self.spool.read(0)), None)
        with store.once():
            run = self.connection.create_run(
                self.experiment,
                start_time=first["time"] if first else None,
                tags={DIGEST_TAG: self.spool.digest},
                run_name=f"train-{self.spool.digest[:10]}",
            )
        return run.info.run_id, 0, {}

    def _is_there(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            run = self.connection.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return bool(run.info.lifecycle_stage == "active")

    def _last_step(self, run_id: str, key: str) -> int:
        return max(metric.step for metric in self.connection.get_metric_history(run_id, key))

    def _take(self, event: Event) -> None:
        from mlflow.entities import Metric

        for key, value in event["values"].items():
            if event["images"] > self.floor.get(key, -1):
                self.waiting.append(Metric(key, value, event["time"], event["images"]))

    def _flush(self, behind: int | None) -> None:
        """Send the metrics that wait; then remember how far that brings us, if `behind` says so."""
        for first in range(0, len(self.waiting), METRICS_PER_BATCH):
            self.connection.log_batch(self.run_id, metrics=self.waiting[first : first + METRICS_PER_BATCH])
        self.waiting = []
        if behind is not None and behind != self.offset:
            self._remember(behind)

    def _remember(self, offset: int) -> None:
        self.offset = offset
        files.write_json(self.file, {"run_id": self.run_id, "offset": offset, "floor": self.floor})

    def _start(self, event: Event) -> None:
        self.connection.update_run(self.run_id, status="RUNNING")
        log_params(self.connection, self.run_id, event["params"])
        known = LINEAGE_TAGS if self.floor else ()  # trained elsewhere: it comes from there, not from here
        tags = {key: value for key, value in event["tags"].items() if key not in known}
        log_tags(self.connection, self.run_id, {**tags, "mlflow.loggedImages": "true"})
        if "patch" in event and not self.floor:
            self.connection.log_artifact(self.run_id, str(self.spool.folder / event["patch"]), PATCHES)

    def _picture(self, event: Event) -> None:
        for name in event["files"]:
            self.connection.log_artifact(self.run_id, str(self.spool.folder / "pictures" / name), "images")

    def _finish(self, event: Event) -> None:
        self.connection.set_terminated(self.run_id, event["status"], event["time"])


def log_params(connection: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    """Log parameters; MLflow never changes one, so a value that differs goes to the tag `changed.<key>`."""
    from mlflow.entities import Param

    there = connection.get_run(run_id).data.params
    new = [Param(key, value) for key, value in params.items() if key not in there]
    for first in range(0, len(new), TAGS_PER_BATCH):
        connection.log_batch(run_id, params=new[first : first + TAGS_PER_BATCH])
    log_tags(connection, run_id, {f"changed.{k}": v for k, v in params.items() if there.get(k, v) != v})


def log_tags(connection: "MlflowClient", run_id: str, tags: Mapping[str, Any]) -> None:
    """Set tags, in batches."""
    from mlflow.entities import RunTag

    new = [RunTag(key, str(value)) for key, value in tags.items()]
    for first in range(0, len(new), TAGS_PER_BATCH):
        connection.log_batch(run_id, tags=new[first : first + TAGS_PER_BATCH])


def log_scores(
    connection: "MlflowClient", run_id: str, what: str, identity: str, values: Mapping[str, float], step: int = 0
) -> None:
    """Log numbers once, even if this is killed in between and repeated.

    Their time is kept in a tag before them, so that the same numbers again are the same points to MLflow's database.
    what: names the tag. identity: what the numbers were made from; another one is another set of points.
    """
    from mlflow.entities import Metric

    known = connection.get_run(run_id).data.tags.get(BEGUN_TAG + what, "").split(" ")
    moment = known[1] if known[0] == identity else str(time.time_ns() // 1_000_000)
    log_tags(connection, run_id, {BEGUN_TAG + what: f"{identity} {moment}"})
    batch = [Metric(metric_name(key), value, int(moment), step) for key, value in values.items()]
    for first in range(0, len(batch), METRICS_PER_BATCH):
        connection.log_batch(run_id, metrics=batch[first : first + METRICS_PER_BATCH])
