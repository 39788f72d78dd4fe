"""Clone, check, rebuild, compare: in this order, so that errors appear before any long work."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddpm import tracking
from ddpm.common import files
from ddpm.data import dvc
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.registry.lineage import NOT_RECORDED, Lineage, checkpoint_of, patch_of, trace
from ddpm.reproduce import checkout, compare, environment
from ddpm.reproduce.checkout import ReproduceError

WEIGHTS, METRICS = Path("out/train/model/weights.safetensors"), Path("out/evaluate/metrics.json")
Log = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """Result of a rebuild. machine: facts that differ, as (recorded, here); agree: None if unknown."""

    lineage: Lineage
    folder: Path
    identical: bool
    machine: Mapping[str, tuple[str, str]]
    tensors: Mapping[str, compare.Distance] = field(default_factory=dict)
    scores: tuple[compare.Score, ...] = ()
    unknown: str = ""

    @property
    def agree(self) -> bool | None:
        """True if all scores with a known spread agree within it; None without any."""
        judged = [each.agrees for each in self.scores if each.agrees is not None]
        return all(judged) if judged else None

    @property
    def good(self) -> bool:
        """True if identical, or the scores agree within their spread."""
        return self.identical or self.agree is True

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "of": self.lineage.as_json(),
            "identical": self.identical,
            "machine": {key: list(pair) for key, pair in self.machine.items()},
            "tensors": {name: vars(each) for name, each in self.tensors.items()},
            "scores": {each.name: {**vars(each), "agrees": each.agrees} for each in self.scores},
            "agree": self.agree,
            "unknown": self.unknown,
        }


def reproduce(address: str, folder: Path, repository: str, *, python: str | None, log: Log) -> Result:
    """Rebuild the model at `address` in the empty `folder` and compare. python: an existing interpreter to use.

    Raises ReproduceError, RegistryError.
    """
    lineage = trace(address)
    if lineage.tag("weights") == NOT_RECORDED:
        raise ReproduceError(
            f"run {lineage.run_id} has no recorded weights to compare with: its training did not finish."
        )
    patch = patch_of(lineage)
    log(f"clone      commit {lineage.tag('git_sha')[:12]} of {tracking.redact_text(repository)} into {folder}")
    checkout.clone(repository, lineage.tag("git_sha"), folder)
    checkout.apply(patch, folder)
    if patch:
        log(f"patch      {len(patch):,} bytes of uncommitted changes: applied")
    missing = checkout.check(lineage, folder)
    log("check      code, data.dvc, parameters and lock file are as recorded")
    if missing:
        log(f"check      not recorded by the older version, so not checked: {', '.join(missing)}")
    python = _environment(python, folder, lineage, log)
    local = Path(repository).resolve() if Path(repository).is_dir() else None
    log(f"data       {lineage.tag('data_hash')}: fetching and hashing")
    checkout.fetch_data(folder, lineage.tag("data_hash"), local, python)
    (folder / "dvc.lock").unlink(missing_ok=True)  # otherwise DVC could skip stages
    _repro(folder, "train", python, lineage, log)
    result = _compare(lineage, folder, python, log)
    files.write_json(folder / ".state" / "reproduced.json", result.as_json())
    return result


def _environment(python: str | None, folder: Path, lineage: Lineage, log: Log) -> str:
    if python is None:
        log("python     installing an environment from requirements.lock (minutes)")
        return environment.new_environment(folder, lineage.tag("python"))
    found = shutil.which(python) or python
    log(f"python     {python}: checking its packages against requirements.lock")
    return environment.present(found, folder)


def _repro(folder: Path, stage: str, python: str, lineage: Lineage, log: Log) -> None:
    """Run `dvc repro` of one stage and its dependencies without the run cache.

    Raises ReproduceError with the exit status; the output has been logged.
    """
    log(f"{stage:<10} dvc repro {stage}, {lineage.tag('threads')} threads")
    command = dvc.command("repro", "--no-run-cache", stage, python=python)
    child = subprocess.Popen(
        command, cwd=folder, env=_settings(folder, python, lineage), text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    status = 0
    try:
        for line in child.stdout or ():
            status = dvc.exit_status([line], status)
            log(f"           {line.rstrip()}")
    finally:
        child.wait()
    if child.returncode:
        raise ReproduceError(f"{stage} failed in {folder} with exit status {status or child.returncode}; see above.")


def _settings(folder: Path, python: str, lineage: Lineage) -> dict[str, str]:
    """Build the environment variables of a rebuild: own code and record, recorded threads and device, no servers."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PREFECT_", "PYTHON"))}
    own = dvc.environment(python, own | {"PYTHONPATH": str((folder / "src").resolve())})
    if lineage.tag("threads").isdigit():
        own["OMP_NUM_THREADS"] = lineage.tag("threads")
    if lineage.tag("device") == "cpu":
        own["DDPM_DEVICE"] = "cpu"
    return own


def _compare(lineage: Lineage, folder: Path, python: str, log: Log) -> Result:
    """Compare the weights; only if they differ, sample and score."""
    machine = _machine(lineage, folder)
    if files.sha256_file(folder / WEIGHTS) == lineage.tag("weights"):
        return Result(lineage, folder, identical=True, machine=machine)
    kept = checkpoint_of(lineage)
    tensors = compare.weights(folder / WEIGHTS, kept / WEIGHTS.name) if kept else {}
    unknown = "" if kept else "The run's weights were not registered, so their difference is unknown."
    scores: tuple[compare.Score, ...] = ()
    if lineage.scores.source:
        _repro(folder, "evaluate", python, lineage, log)
        scores = tuple(compare.scores(lineage.scores, ScoreRecord.from_json(files.read_json(folder / METRICS))))
    else:
        unknown = f"{unknown} No scores were recorded to compare with.".strip()
    return Result(lineage, folder, False, machine, tensors, scores, unknown)


def _machine(lineage: Lineage, folder: Path) -> dict[str, tuple[str, str]]:
    """Return the machine's properties that differ from those of the rebuild, which its spool records."""
    here: dict[str, str] = {}
    for events in (folder / tracking.SPOOLS).glob("*/events.jsonl"):
        for event, _ in tracking.Spool(events.parent).read(0):
            here |= event["tags"] if event["event"] == "start" else {}
    pairs = {
        key: (lineage.tag(key.removeprefix("ddpm.")), here.get(key, NOT_RECORDED)) for key in tracking.MACHINE_TAGS
    }
    return {key.removeprefix("ddpm."): pair for key, pair in pairs.items() if pair[0] != pair[1]}
