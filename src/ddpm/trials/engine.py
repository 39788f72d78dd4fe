"""Run planned trials one after the other: train and score each in the sandbox, compare it, and save its results."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ddpm import tracking
from ddpm.common import faults, files
from ddpm.common.units import duration
from ddpm.config import params
from ddpm.data import dvc
from ddpm.evaluation import gate, score_record
from ddpm.evaluation.score_record import with_extractor
from ddpm.serving import pack
from ddpm.tracking.record import NOTE_TAG
from ddpm.trials import records, speed
from ddpm.trials.plan import Trial
from ddpm.trials.records import Record
from ddpm.trials.sandbox import Execute, Sandbox, TrialError, last_lines, prepare

NOT_LIMITS = {"name", "approval", "approval_hours"}
"""Parameters of section promote that are not arguments of the gate."""
TRAINED = re.compile(r"^train: ([\d,]+) of ([\d,]+) images\b")
TRIAL_TAG = "ddpm.trial"
TRAINING_ALREADY = "another process is training this model already"
"""From a trainer that a kill has left saving its state, or from a run of the project with the same parameters."""
PATIENCE, SECONDS_BETWEEN_TRIES = 60.0, 3.0
TARGET = "evaluate"


@dataclass(frozen=True)
class Reference:
    """The model that a trial is compared with. folder: its checkpoint; name: how pages call it."""

    name: str
    folder: Path
    is_champion: bool = False


@dataclass
class Meter:
    """Estimate of the time left for all trials, by the training images that they see.

    images: of each trial to run, in order. seconds: spent on finished ones.
    """

    images: Sequence[int]
    clock: Callable[[], float] = time.monotonic
    seconds: list[float] = field(default_factory=list)
    started: float = 0.0
    share: float = 0.0

    def begin(self) -> None:
        """Start the next trial."""
        self.started, self.share = self.clock(), 0.0

    def end(self) -> None:
        """Finish the current trial."""
        self.seconds.append(self.clock() - self.started)

    def left(self) -> float | None:
        """Seconds left; None before anything is known. Of the first trial, training counts as the whole."""
        done, spent = len(self.seconds), self.clock() - self.started
        if done:
            per_image = sum(self.seconds) / sum(self.images[:done])
        elif self.share > 0:
            per_image = spent / (self.share * self.images[0])
        else:
            return None
        return sum(self.images[done + 1 :]) * per_image + max(0.0, self.images[done] * per_image - spent)


def run(
    trials: Sequence[Trial],
    execute: Execute,
    log: Callable[[str], None],
    reference: Callable[[Trial], Reference | None],
) -> list[Record]:
    """Run the trials that are not finished; return the records of all, in order.

    log: receives progress, a line at a time. reference: finds the model to compare a trial with, when it is trained;
    None for no comparison. A trial that fails does not stop the others. Raises TrialError if no trial can start.
    """
    before = {each.name: records.find(each.name) for each in trials}
    todo = [each for each in trials if not _finished(each, before[each.name])]
    if not todo:
        return [each for each in before.values() if each]
    sandbox = prepare(execute, log)
    meter = Meter([each.images for each in todo])
    for number, trial in enumerate(todo, 1):
        meter.begin()
        shown = _shown(f"{number} of {len(todo)}", meter, log)
        shown(trial.name)
        record = records.new(trial, sandbox.commit)
        records.save(record)
        try:
            record = _run(trial, record, sandbox, shown, reference(trial))
        except TrialError as error:
            record = replace(record, state="failed", reason=str(error), ended=records.now())
            shown(f"failed: {str(error).splitlines()[0]}")
        records.save(record)
        meter.end()
    return [found for each in trials if (found := records.find(each.name))]


def _finished(trial: Trial, record: Record | None) -> bool:
    return record is not None and record.state == "finished" and record.digest == trial.digest


def _run(
    trial: Trial, record: Record, sandbox: Sandbox, log: Callable[[str], None], reference: Reference | None
) -> Record:
    """Train, score, compare and save one trial. Raises TrialError."""
    sandbox.write_params(trial.values)
    clock = _StageClock(dict(record.seconds), log)
    try:
        done = sandbox.dvc("repro", TARGET, log=clock)
        deadline = time.monotonic() + PATIENCE
        while done.code and TRAINING_ALREADY in "\n".join(done.lines) and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_TRIES)
            done = sandbox.dvc("repro", TARGET, log=clock)
    finally:
        record = replace(record, seconds=clock.stop())
        records.save(record)
    if done.code:
        raise TrialError(_failure(done.lines, done.code))
    record = records.collect(record, sandbox.folder)
    measured = speed.speed(record.training_digest)
    record = replace(record, train_seconds=measured.seconds, images_per_second=measured.images_per_second)
    if reference is not None:
        record = _compare(trial, record, sandbox, reference, log)
    sandbox.save_experiment(trial.name, lambda line: None)
    _name_run(record, log)
    log(f"finished in {duration(sum(record.seconds.values()))}")
    return replace(record, state="finished", reason="", ended=records.now())


def _compare(
    trial: Trial, record: Record, sandbox: Sandbox, reference: Reference, log: Callable[[str], None]
) -> Record:
    """Score trial and reference from equal seeds, as the pipeline does, and judge them by the gate."""
    log(f"scoring it and {reference.name} from equal seeds")
    target = (record.folder / records.COMPARISON).resolve()
    done = sandbox.run("ddpm.stages.rescore", str(reference.folder.resolve()), str(target), log=log)
    last = done.lines[-1] if done.lines else ""
    if done.code and not last.startswith("error: "):
        raise TrialError(f"it was not scored against {reference.name}. {_failure(done.lines, done.code)}")
    if done.code:
        files.write_json(target, {"candidate": record.metrics, "champion": {"refused": last.removeprefix("error: ")}})
    verdict = judge(files.read_json(target), params.parse(dict(trial.values)).promote, reference)
    weights = files.sha256_file(reference.folder / pack.WEIGHTS)
    return replace(record, against=reference.name, against_weights=weights, verdict=verdict)


def _name_run(record: Record, log: Callable[[str], None]) -> None:
    """Tag the training's MLflow run with the trial's name, and describe it by its FID and changes."""
    note = f"{score_record.description(record.metrics)}; trial {record.name}: {record.label}"
    try:
        tracking.tag_training(record.training_digest, {TRIAL_TAG: record.name, NOTE_TAG: note})
    except ValueError as error:  # MLflow does not answer; the results are on disk
        log(f"its MLflow run has no name: {error}")


def judge(scores: Mapping[str, Any], promote: params.Promote, reference: Reference) -> dict[str, Any]:
    """Return the gate's verdict on `candidate` and `champion`, which is `reference`; FID named with its extractor."""
    verdict = gate.decide(scores["candidate"], scores["champion"], **promote.model_dump(exclude=NOT_LIMITS))
    conditions = scores["candidate"].get("conditions", {})
    found = verdict.as_json()
    reasons = [with_extractor(each, conditions) for each in verdict.reasons]
    found["reasons"] = [each if reference.is_champion else each.replace("champion", reference.name) for each in reasons]
    found["rows"] = [{**row, "name": with_extractor(row["name"], conditions)} for row in found["rows"]]
    return found


def _failure(lines: Sequence[str], code: int) -> str:
    """Describe a failed command: what killed it, or its exit status and last lines."""
    status = dvc.exit_status(lines, code)
    return faults.killed(status) or f"exit status {status}\n{last_lines(lines)}"


def _shown(prefix: str, meter: Meter, log: Callable[[str], None]) -> Callable[[str], None]:
    """Log lines with the trial's number and the time left for all trials, which training progress updates."""

    def shown(line: str) -> None:
        if found := TRAINED.match(line):
            done, total = (int(each.replace(",", "")) for each in found.groups())
            meter.share = done / total
        left = meter.left()
        whole = f"; all: {duration(left)} left" if left is not None and len(meter.images) > 1 and found else ""
        log(f"{prefix}: {line}{whole}")

    return shown


class _StageClock:
    """Logs DVC's lines without chatter, and measures the seconds of each stage."""

    def __init__(self, seconds: dict[str, float], log: Callable[[str], None]) -> None:
        self.seconds, self.log = seconds, log
        self.stage, self.since = "", 0.0

    def __call__(self, line: str) -> None:
        if found := dvc.RUNNING.match(line):
            self.stop()
            self.stage, self.since = found[1], time.monotonic()
            self.log(f"stage {self.stage}")
        elif not dvc.CHATTER.match(line):
            self.log(line)

    def stop(self) -> dict[str, float]:
        """Add the time of the current stage; return the seconds of all."""
        if self.stage:
            self.seconds[self.stage] = round(self.seconds.get(self.stage, 0.0) + time.monotonic() - self.since, 1)
            self.stage = ""
        return self.seconds
