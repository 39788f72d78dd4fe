"""Completion of the record: after evaluation, on a machine that never trained, and after a trainer was killed."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ddpm.common import files, validation
from ddpm.common.locks import LockBusyError
from ddpm.common.values import is_number
from ddpm.evaluation import score_record
from ddpm.provenance.tags import LINEAGE_TAGS
from ddpm.tracking import store
from ddpm.tracking.log import log_scores, log_tags
from ddpm.tracking.names import MAIN_SCORES, SCORES
from ddpm.tracking.spool import SPOOLS, Spool
from ddpm.tracking.sync import is_synced, sync

RECORD_TAG = "ddpm.record"
NOTE_TAG = "mlflow.note.content"
"""The description on a run's page; one written by a user is kept."""
PATIENCE = 10.0


def close_abandoned(folder: Path = SPOOLS) -> list[str]:
    """Mark as KILLED every record whose trainer died before it could finish, and send what MLflow lacks.

    Returns the digests of those trainings. Raises TrackingUnavailableError when MLflow does not answer.
    """
    closed: list[str] = []
    for events in sorted(folder.glob("*/events.jsonl")):
        spool = Spool(events.parent)
        try:
            with spool.writing():
                progress = spool.progress()
                if progress.started and progress.status is None:
                    spool.finish("KILLED")
                    closed.append(spool.digest)
        except LockBusyError:
            continue  # its trainer is alive and syncs itself
        if not is_synced(spool):
            sync(spool)
    return closed


def complete(
    digest: str,
    metrics: Mapping[str, Any],
    artifacts: Sequence[Path] = (),
    tags: Mapping[str, str] | None = None,
    *,
    params: Mapping[str, str] | None = None,
    history: Path | None = None,
    patch: bytes = b"",
    folder: Path = SPOOLS,
) -> str:
    """Add what evaluation found to the run of this training, and return the run's id.

    Sends unsent events of the training first. Without a record here (DVC restored the stages from its cache) it is made
    from `params`, `history` (out/train/history.csv) and `patch` (the difference from the commit). metrics: the main
    scores become metrics `eval/...`, at the last image count; the whole mapping is kept as metrics.json. artifacts:
    files and folders; those under out/ keep their path in it. Lineage tags of the run are kept: they are those of the
    training. Equal content again does nothing.

    Raises TrackingUnavailableError when MLflow does not answer, FileNotFoundError for a missing artifact, LockBusyError
    when the training is running.
    """
    named = dict(contents(artifacts))
    spool = Spool(folder / validation.name(digest, "the training digest"))
    with spool.writing(PATIENCE):
        _fill_in(spool, params or {}, tags or {}, history, patch)
    run_id = sync(spool)

    connection = store.client()
    there = connection.get_run(run_id).data
    hashes = {name: files.sha256_file(path) for name, path in named.items()}
    fingerprint = files.sha256_json({"metrics": dict(metrics), "artifacts": hashes})
    traced = any(key in there.tags for key in LINEAGE_TAGS)
    all_tags = {**_note(metrics, there.tags.get(NOTE_TAG, "")), **(tags or {})}
    new = {k: v for k, v in all_tags.items() if there.tags.get(k) != v and not (k in LINEAGE_TAGS and traced)}
    if there.tags.get(RECORD_TAG) == fingerprint:
        log_tags(connection, run_id, new)
        return run_id
    for name, path in named.items():
        parent = str(Path(name).parent)
        connection.log_artifact(run_id, str(path), None if parent == "." else parent)
    connection.log_dict(run_id, dict(metrics), "metrics.json")
    log_scores(connection, run_id, "scores", fingerprint, dict(_scores(metrics)), spool.progress().images)
    log_tags(connection, run_id, {**new, RECORD_TAG: fingerprint})  # last: it says that all of the above is there
    return run_id


def _note(metrics: Mapping[str, Any], known: str) -> dict[str, str]:
    """Describe the run by FID and its extractor, unless a user has written a description."""
    text = score_record.description(metrics)
    replaceable = not known or known.startswith("FID (")
    return {NOTE_TAG: text} if text and replaceable else {}


def _fill_in(
    spool: Spool, params: Mapping[str, str], tags: Mapping[str, str], history: Path | None, patch: bytes
) -> None:
    """Make the spool that of a finished training, from its history. What it holds already is sent only once."""
    progress = spool.progress()
    if progress.status == "FINISHED":
        return
    if not progress.started:
        spool.start(params, tags, patch)
    if history is not None:
        for images, values in _rows(history):
            spool.metrics(images, values)
    spool.finish("FINISHED")


def _rows(history: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The lines of a history: images seen, and the other columns. Raises ValueError that names the file."""
    with history.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                values = {key: float(value) for key, value in row.items() if value != ""}  # "": not measured there
                yield int(values.pop("images")), values
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{history} is damaged at {row}. Run the train stage again.") from error


def _scores(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The main scores that are finite numbers, by their names in the run."""
    for name in MAIN_SCORES:
        if is_number(metrics.get(name)):
            yield SCORES + name, float(metrics[name])


def contents(artifacts: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Name in the run and file, of files and all that folders hold. Raises FileNotFoundError."""
    for path in artifacts:
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing, so the record cannot be completed. Run the stages again.")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                yield _name(file, path), file


def _name(file: Path, given: Path) -> str:
    """`report/index.html` for out/report/index.html, so too under .state; elsewhere the path below what was given."""
    roots = [root for root in map(Path.resolve, (Path("out"), Path(".state"))) if file.resolve().is_relative_to(root)]
    base = roots[0] if roots else given.resolve().parent
    return file.resolve().relative_to(base).as_posix()
