"""Idempotent replay of a training's events to MLflow.

MLflow's run itself shows what it holds: a metric is sent when its step lies after the last one of that metric in the
run, a picture when the run lacks it, lineage tags when the run has none. A batch that is sent twice has the same keys,
steps, values and times, which MLflow's database stores once. The offset kept in `shipped-<server>.json` is only a hint
that saves reading: it may be old or missing.
"""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.common import files, validation
from ddpm.common.locks import locked
from ddpm.provenance.tags import LINEAGE_TAGS
from ddpm.tracking import store, system_metrics
from ddpm.tracking.log import METRICS_PER_BATCH, log_metrics, log_params, log_tags
from ddpm.tracking.names import CURVES, TAGS_FOR_READERS
from ddpm.tracking.spool import SPOOLS, Event, Spool

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

DIGEST_TAG = "ddpm.digest"
PATCHES, PICTURES = "lineage", "images"
"""Folders in a run: its patch, `<SHA-256>.patch`, and its pictures."""
PATIENCE = 120.0


def replay(digest: str, folder: Path = SPOOLS) -> str | None:
    """Send what MLflow does not have yet; the run's id, or None when neither this project nor MLflow knows the digest.

    Raises TrackingUnavailableError when MLflow does not answer; nothing is lost then.
    """
    spool = Spool(folder / validation.name(digest, "the training digest"))
    if not spool.events.exists():
        return run_of(digest)
    return sync(spool)


def run_of(digest: str) -> str | None:
    """The id of the run of this training, or None."""
    validation.name(digest, "the training digest")
    connection = store.client()
    found = find_run(connection, store.experiment(connection, store.experiment_name()), digest)
    return found.info.run_id if found else None


def tag_training(digest: str, tags: Mapping[str, str]) -> None:
    """Set tags on the run of a training, if it has one. Raises TrackingUnavailableError when MLflow does not answer."""
    run_id = run_of(digest)
    if run_id is not None:
        log_tags(store.client(), run_id, tags)


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
        return _Replay(spool, connection).run()


def first_name(digest: str) -> str:
    """The name of a run before its model is registered."""
    return f"train-{digest[:10]}"


def is_synced(spool: Spool) -> bool:
    """Return whether some server holds the whole record."""
    size = spool.events.stat().st_size
    return any(files.read_json(path)["offset"] == size for path in spool.folder.glob("shipped-*.json"))


class _Replay:
    """One pass over the events that follow the hint."""

    def __init__(self, spool: Spool, connection: "MlflowClient") -> None:
        self.spool, self.connection = spool, connection
        self.experiment = store.experiment(connection, store.experiment_name())
        server = files.sha256_bytes(f"{store.tracking_uri()} {self.experiment}".encode())[:16]
        self.hint = spool.folder / f"shipped-{server}.json"
        hint: dict[str, Any] = files.read_json(self.hint) if self.hint.exists() else {"run_id": "", "offset": 0}
        run = self._active(hint["run_id"]) or find_run(connection, self.experiment, spool.digest) or self._new_run()
        self.run_id: str = run.info.run_id
        self.offset: int = hint["offset"] if hint["run_id"] == self.run_id else 0
        self.last_steps = {metric.key: metric.step for metric in run.data.to_proto().metrics}
        self.has_lineage = any(key in run.data.tags for key in LINEAGE_TAGS)
        self.waiting: list[Metric] = []

    def run(self) -> str:
        """Replay event by event; metrics wait until a batch is full or another kind of event follows."""
        end = self.offset
        for event, end in self.spool.read(self.offset):
            if event["event"] == "metrics":
                self._metrics(event)
                if len(self.waiting) < METRICS_PER_BATCH:
                    continue
                self._send()
            else:
                self._send()
                getattr(self, f"_{event['event']}")(event)
            self._keep_hint(end)
        self._send()
        self._keep_hint(end)
        return self.run_id

    def _active(self, run_id: str) -> "Run | None":
        """The run, unless it was deleted."""
        run = store.existing_run(self.connection, run_id) if run_id else None
        return run if run and run.info.lifecycle_stage == "active" else None

    def _new_run(self) -> "Run":
        first = next((event for event, _ in self.spool.read(0)), None)
        source = {"mlflow.user": getpass.getuser(), "mlflow.source.name": "ddpm run", "mlflow.source.type": "LOCAL"}
        with store.once():
            return self.connection.create_run(
                self.experiment,
                start_time=first["time"] if first else None,
                tags={**TAGS_FOR_READERS, DIGEST_TAG: self.spool.digest, **source},
                run_name=first_name(self.spool.digest),
            )

    def _send(self) -> None:
        log_metrics(self.connection, self.run_id, self.waiting)
        self.waiting = []

    def _keep_hint(self, offset: int) -> None:
        if offset != self.offset:
            self.offset = offset
            files.write_json(self.hint, {"run_id": self.run_id, "offset": offset})

    def _metrics(self, event: Event) -> None:
        """Queue the points that follow the last step of their metric."""
        from mlflow.entities import Metric

        for name, value in event["values"].items():
            named = name in self.last_steps or name.startswith(system_metrics.PREFIX)
            key = name if named else CURVES + name  # runs of older versions have no sections
            if event["images"] > self.last_steps.get(key, -1):
                self.last_steps[key] = event["images"]
                self.waiting.append(Metric(key, value, event["time"], event["images"]))

    def _start(self, event: Event) -> None:
        """Parameters and tags. Lineage is that of the process that began the training, here or elsewhere."""
        self.connection.update_run(self.run_id, status="RUNNING")
        log_params(self.connection, self.run_id, event["params"])
        if "patch" in event and not self.has_lineage:
            self.connection.log_artifact(self.run_id, str(self.spool.folder / event["patch"]), PATCHES)
        settled = LINEAGE_TAGS if self.has_lineage else ()
        tags = {key: value for key, value in event["tags"].items() if key not in settled}
        log_tags(self.connection, self.run_id, {**tags, "mlflow.loggedImages": "true"})
        self.has_lineage = self.has_lineage or any(key in tags for key in LINEAGE_TAGS)

    def _picture(self, event: Event) -> None:
        """Upload a picture unless the run has it; the full-size file goes last and so stands for both."""
        full, *copies = event["files"]
        identity = full.rsplit("+", 1)[-1]
        if any(found.path.endswith(identity) for found in self.connection.list_artifacts(self.run_id, PICTURES)):
            return
        for name in (*copies, full):
            self.connection.log_artifact(self.run_id, str(self.spool.pictures / name), PICTURES)

    def _finish(self, event: Event) -> None:
        self.connection.set_terminated(self.run_id, event["status"], event["time"])
