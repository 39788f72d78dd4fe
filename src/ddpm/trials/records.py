"""Records of trials on disk: `.state/trials/<name>/`, with the trial's scores, histories and checkpoint."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ddpm.common import files, validation
from ddpm.common.locks import LockBusyError, locked
from ddpm.config.params import ParamsError
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.trials.plan import Trial, label, short

FOLDER = Path(".state/trials")
LOCK = FOLDER / "lock"
RECORD, METRICS, COMPARISON, MODEL, HELDOUT = (
    "trial.json", "metrics.json", "comparison.json", "model", "heldout_loss.csv",
)  # fmt: skip
COLLECTED = {"out/evaluate/metrics.json": METRICS, "out/train/history.csv": "history.csv",
             "out/train/heldout_loss.csv": HELDOUT}  # fmt: skip
State = Literal["running", "failed", "finished"]


class UnknownTrialError(ParamsError):
    """No trial has this name."""


@dataclass(frozen=True)
class Record:
    """A trial with its state and results, as stored in its folder.

    seconds: by stage, of wall clock, summed over interrupted attempts. training_digest: names its checkpoints and its
    MLflow run. against: the model that the gate compared it with. verdict: as `gate.Verdict.as_json`, empty without
    one. kept: True once `--keep` has registered it.
    """

    name: str
    changes: Mapping[str, Any]
    seed: int
    budget: float
    values: Mapping[str, Any]
    digest: str
    commit: str
    state: State = "running"
    reason: str = ""
    started: str = ""
    ended: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    training_digest: str = ""
    train_seconds: float | None = None
    images_per_second: float | None = None
    against: str = ""
    against_weights: str = ""
    verdict: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = False

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return folder(self.name)

    @property
    def label(self) -> str:
        """Its changes as text."""
        return label(self.changes)

    @property
    def short(self) -> str:
        """Its changes as text, without sections."""
        return short(self.changes)

    @property
    def metrics(self) -> dict[str, Any]:
        """Its evaluation, as metrics.json; empty if it is not finished."""
        path = self.folder / METRICS
        return dict(files.read_json(path)) if path.exists() else {}

    @property
    def scores(self) -> ScoreRecord:
        """The scores of that evaluation."""
        return ScoreRecord.from_json(self.metrics)

    @property
    def compared(self) -> dict[str, Any]:
        """Scores of `candidate` and `champion` from equal seeds; empty without a comparison."""
        path = self.folder / COMPARISON
        return dict(files.read_json(path)) if path.exists() else {}


def folder(name: str) -> Path:
    """Return the folder of a trial's files. Raises ValueError for a name that is not one path component."""
    return FOLDER / validation.name(name, "the name of a trial")


def new(trial: Trial, commit: str) -> Record:
    """Make the record of a trial that starts now, and keep the times of an interrupted attempt."""
    before = find(trial.name)
    seconds = before.seconds if before else {}
    started = before.started if before else now()
    return Record(
        trial.name, trial.changes, trial.seed, trial.budget, trial.values, trial.digest, commit,
        started=started, seconds=seconds,
    )  # fmt: skip


def save(record: Record) -> None:
    """Write the record, atomically."""
    files.write_json(record.folder / RECORD, asdict(record))


def find(name: str) -> Record | None:
    """Read a record; None for an unknown name."""
    path = folder(name) / RECORD
    return Record(**files.read_json(path)) if path.is_file() else None


def require(name: str) -> Record:
    """Read a record. Raises UnknownTrialError that lists the known names."""
    found = find(name)
    if found is None:
        known = ", ".join(each.name for each in listing()) or "none yet"
        raise UnknownTrialError(f"{name!r} is not a trial. Trials here: {known}.")
    return found


def listing() -> list[Record]:
    """All records, in the order of their start."""
    found = [Record(**files.read_json(path)) for path in FOLDER.glob(f"*/{RECORD}")]
    return sorted(found, key=lambda each: (each.started, each.name))


def shown_state(record: Record) -> str:
    """Describe the state: `kept`, and `interrupted` for a trial that no process works on any more."""
    if record.state != "running":
        return "kept" if record.kept else record.state
    try:
        with locked(LOCK, "", patience=0):
            return "interrupted"
    except LockBusyError:
        return "running"


def remove(name: str) -> None:
    """Delete a trial's record and files."""
    shutil.rmtree(folder(name), ignore_errors=True)


def collect(record: Record, project: Path) -> Record:
    """Copy scores and histories, and link the checkpoint, from the outputs of a project folder.

    A hard link takes no space: the file is DVC's cache's own, which nobody changes.
    """
    for source, name in COLLECTED.items():
        files.write_bytes(record.folder / name, (project / source).read_bytes())
    with files.fresh_folder(record.folder / MODEL) as kept:
        for each in (project / "out/train/model").iterdir():
            _link(each, kept / each.name)
    config = files.read_json(record.folder / MODEL / "config.json")
    return replace(record, training_digest=config["digest"])


def now() -> str:
    """The time in UTC, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
