"""Retention of rejected candidates: deletion by age of their versions, MLflow runs, pictures and patches.

A candidate is rejected if the gate judged it without promoting it, or if it failed verification, and if it was never
part of a move of the champion. One MLflow run is one training; it is deleted only with all versions made from it, so
nothing that lineage or a rebuild of a kept version reads is lost. Each deletion may be killed at any point: the run is
marked first, and the next call finishes what is marked.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.common.locks import LockBusyError
from ddpm.common.units import size
from ddpm.evaluation import gate
from ddpm.registry import approval, audit
from ddpm.registry.evidence import VERDICT_TAG
from ddpm.registry.lock import Held, RegistryLock, file_lock
from ddpm.registry.retention import delete_version
from ddpm.registry.versions import FAILED_TAG, Version, status, to_version
from ddpm.tracking import SPOOLS, Spool, store
from ddpm.tracking.sync import DIGEST_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PRUNED_TAG = "ddpm.pruned"
"""Tag of a run whose deletion has begun: its time."""
PAGE = 1000


@dataclass(frozen=True)
class RejectedRun:
    """The training of rejected candidates.

    versions: their numbers; empty if an earlier deletion was interrupted after them. created: registration of the
    newest. size: bytes of its files, in the artifact store and in the spool of this checkout.
    """

    run_id: str
    title: str
    digest: str
    versions: tuple[int, ...]
    created: datetime
    size: int

    @property
    def days(self) -> float:
        """Age in days."""
        return (datetime.now(UTC) - self.created) / timedelta(days=1)


def list_rejected(name: str, days: float) -> list[RejectedRun]:
    """List the runs of candidates of the model `name` that were rejected more than `days` days ago, oldest first.

    Runs whose deletion was interrupted come first. Raises ValueError for negative `days`.
    """
    if days < 0:
        raise ValueError(f"rejected candidates cannot be kept for {days:g} days: give 0 or more")
    connection = store.client()
    everything, before = list(_all_versions(connection)), datetime.now(UTC) - timedelta(days=days)
    kept = _protected(connection, name)
    runs = sorted({each.run_id for each in everything if each.name == name and each.run_id})
    found = []
    for run_id in runs:
        run = _run(connection, run_id)
        if run is None or run.info.status == "RUNNING" or DIGEST_TAG not in run.data.tags:
            continue
        place = run.info.artifact_uri
        own = [each for each in everything if each.run_id == run_id or _inside(each.source, place)]
        if all(each.name == name and _is_due(each, kept, before) for each in own):
            found.append(_rejected(connection, run, own))
    return [
        *_interrupted(connection, {each.run_id for each in everything}),
        *sorted(found, key=lambda each: each.created),
    ]


def prune_rejected(name: str, days: float, *, lock: RegistryLock = file_lock) -> list[RejectedRun]:
    """Delete the runs that `list_rejected` lists, with their versions, pictures and patches, and return them.

    On a shared server runs are deleted softly: `mlflow gc` there deletes their remaining files. A run whose training is
    in progress here is left. Raises ValueError, LockBusyError, LostLockError.
    """
    connection = store.client()
    deleted = []
    with lock(name) as held:
        for each in list_rejected(name, days):
            held.require()
            if _delete_spool(each.digest) and _delete(connection, held, each):
                deleted.append(each)
    return deleted


def summarise_rejected(found: Sequence[RejectedRun], *, deleted: bool) -> str:
    """Summarise a list that is not empty: `2 rejected candidates to delete: 2.4 MiB, 31 to 45 days old`."""
    ages = sorted({round(each.days) for each in found})
    age = f"{ages[0]} to {ages[-1]}" if len(ages) > 1 else f"{ages[0]}"
    many = "candidate" if len(found) == 1 else "candidates"
    total = size(sum(each.size for each in found))
    return f"{len(found)} rejected {many} {'deleted' if deleted else 'to delete'}: {total}, {age} days old"


def _protected(connection: "MlflowClient", name: str) -> set[int]:
    """Collect the versions with an alias and those in the audit trail, whatever became of the move."""
    moved = audit.moves(connection, name)
    origins = {each.origin for each in moved if each.origin is not None}
    return {*status(name).aliases.values(), *origins, *(each.target for each in moved)}


def _is_due(each: Version, kept: set[int], before: datetime) -> bool:
    """Return True for a rejected version, registered before a time, that nobody may still promote."""
    if each.number in kept or each.created >= before:
        return False
    asked = approval.read(each)
    if asked is not None and asked.state == "asked" and not asked.overdue:
        return False
    return FAILED_TAG in each.tags or each.tags.get(VERDICT_TAG, gate.PROMOTES[0]) not in gate.PROMOTES


def _all_versions(connection: "MlflowClient") -> Iterator[Version]:
    """Iterate over the versions of all registered models."""
    token = None
    while True:
        page = connection.search_model_versions(max_results=PAGE, page_token=token)
        yield from (to_version(each, {}) for each in page)
        token = page.token
        if not token:
            return


def _run(connection: "MlflowClient", run_id: str) -> "Run | None":
    """Return a run that is not deleted; None otherwise."""
    run = store.existing_run(connection, run_id)
    return run if run and run.info.lifecycle_stage == "active" else None


def _inside(source: str, place: str) -> bool:
    return source == place or source.startswith(f"{place}/")


def _interrupted(connection: "MlflowClient", registered: Iterable[str]) -> list[RejectedRun]:
    """List marked runs without a version; deleted ones only while the embedded record still has their files."""
    from mlflow.entities import ViewType

    experiment = connection.get_experiment_by_name(store.experiment_name())
    if experiment is None:
        return []
    runs = connection.search_runs(
        [experiment.experiment_id], f"tags.`{PRUNED_TAG}` LIKE '%'", ViewType.ALL, max_results=PAGE
    )
    left = [each for each in runs if each.info.run_id not in set(registered)]
    return [
        _rejected(connection, each, [])
        for each in left
        if each.info.lifecycle_stage == "active" or ((folder := _folder(each)) is not None and folder.exists())
    ]


def _rejected(connection: "MlflowClient", run: "Run", own: Iterable[Version]) -> RejectedRun:
    versions = sorted(own, key=lambda each: each.number)
    spool = SPOOLS / run.data.tags[DIGEST_TAG]
    return RejectedRun(
        run_id=run.info.run_id,
        title=run.info.run_name or run.info.run_id,
        digest=run.data.tags[DIGEST_TAG],
        versions=tuple(each.number for each in versions),
        created=max(
            (each.created for each in versions), default=datetime.fromtimestamp(run.info.start_time / 1000, UTC)
        ),
        size=_size(connection, run) + sum(each.stat().st_size for each in spool.rglob("*") if each.is_file()),
    )


def _size(connection: "MlflowClient", run: "Run") -> int:
    """Sum up the bytes of a run's artifacts."""
    if (folder := _folder(run)) is not None:
        return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    total, folders = 0, [""]
    while folders:
        for each in connection.list_artifacts(run.info.run_id, folders.pop() or None):
            if each.is_dir:
                folders.append(each.path)
            else:
                total += each.file_size or 0
    return total


def _folder(run: "Run") -> Path | None:
    """Return the folder of a run's artifacts in the embedded record; None in any other store."""
    from mlflow.utils.file_utils import local_file_uri_to_path

    if not store.embedded():
        return None
    folder = Path(local_file_uri_to_path(run.info.artifact_uri)).resolve()  # type: ignore[no-untyped-call]
    return folder if folder.is_relative_to(store.artifact_root()) else None


def _delete_spool(digest: str) -> bool:
    """Delete what this checkout has of the training, so that it is not sent again; False if it is in progress."""
    spool = Spool(SPOOLS / digest)
    if not spool.folder.is_dir():
        return True
    try:
        with spool.writing():
            spool.events.unlink(missing_ok=True)
            shutil.rmtree(spool.folder)
    except LockBusyError:
        return False
    return True


def _delete(connection: "MlflowClient", held: Held, each: RejectedRun) -> bool:
    """Delete versions, run and files, in this order; False if a version got an alias meanwhile."""
    run: Any = connection.get_run(each.run_id)
    if run.info.lifecycle_stage == "active":
        connection.set_tag(each.run_id, PRUNED_TAG, datetime.now(UTC).isoformat(timespec="seconds"))
        for version in status(held.name).versions:
            if version.number in each.versions:
                held.require()
                delete_version(connection, version)
        if connection.search_model_versions(f"run_id = '{each.run_id}'", max_results=1):
            return False
        connection.delete_run(each.run_id)
    folder = _folder(run)
    if folder is not None and folder.exists():
        shutil.rmtree(folder)
    return True
