"""Keep or drop a trial: apply its parameters and register its model, or remove what it left."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ddpm import registry, tracking
from ddpm.common import files, yaml_file
from ddpm.config import changes as config_changes
from ddpm.config import params
from ddpm.data import dvc
from ddpm.trials import plan, records, sandbox
from ddpm.trials.sandbox import Execute, TrialError

METRICS, MODEL = Path("out/evaluate/metrics.json"), Path("out/train/model")


@dataclass(frozen=True)
class Kept:
    """The version that a trial became. changes: parameters that params.yaml now has, by key."""

    name: str
    number: int
    new: bool
    changes: Mapping[str, Any]


def changes_of(record: records.Record) -> dict[str, Any]:
    """Return the parameters to write: the trial's changes, and its seed if it differs from that of params.yaml."""
    seed = params.read_yaml(params.PARAMS_FILE)["train"]["seed"]
    return dict(record.changes) | ({"train.seed": record.seed} if record.seed != seed else {})


def require_keepable(record: records.Record) -> None:
    """Check that the project would make the trial's model. Raises TrialError with the remedy."""
    if record.state != "finished":
        raise TrialError(f"{record.name} is not finished ({record.state}). Run the same `ddpm try` again.")
    if record.budget != 1:
        raise TrialError(
            f"{record.name} was trained with a budget of {record.budget:g}; a kept model needs the whole. Try it "
            f"without --budget: ddpm try {plan.arguments(record.changes)}"
        )
    base = params.read_yaml(params.PARAMS_FILE)
    source = f"params.yaml with {record.label}"
    values = config_changes.in_values(base, changes_of(record), source)
    params.parse(values, source)
    if plan.digest(values, plan.inputs_digest()) != record.digest:
        raise TrialError(
            f"code, data or other parameters have changed since {record.name} was trained, so its results are not "
            "those of this project. Run the same `ddpm try` again."
        )


def keep(record: records.Record, execute: Execute, log: Callable[[str], None]) -> Kept:
    """Write the trial's parameters to params.yaml, restore its results into out/, and register the model.

    The champion stays; the next run judges the version. The caller holds the run lock. If DVC cannot restore the
    results, params.yaml is as before. Raises TrialError.
    """
    require_keepable(record)
    path, changes = params.PARAMS_FILE, changes_of(record)
    before = path.read_bytes()
    if changes:
        files.write_text(path, config_changes.in_text(yaml_file.decode(before, str(path)), changes))
    try:
        _restore(record, execute, log)
    except BaseException:
        files.write_bytes(path, before)
        raise
    settings, metrics = params.load(), files.read_json(METRICS)
    name = settings.promote.name
    known = {each.number for each in registry.status(name).versions}
    run_id = tracking.record_outputs(settings, metrics)
    number = registry.register(MODEL, name, run_id, metrics, tracking.lineage())
    records.save(replace(record, kept=True))
    return Kept(name, number, number not in known, changes)


def drop(record: records.Record) -> None:
    """Remove a trial's record, files and DVC experiment. A registered model and the MLflow run stay."""
    sandbox.remove_experiment(record.name)
    records.remove(record.name)


def _restore(record: records.Record, execute: Execute, log: Callable[[str], None]) -> None:
    """Bring out/ up to date, from DVC's cache. Raises TrialError if it fails or makes another model."""
    done = execute(
        "dvc", "repro", "evaluate", log=lambda line: None if dvc.CHATTER.match(line) else log(line), folder=Path(),
        environment=dvc.environment(),
    )  # fmt: skip
    if done.code:
        raise TrialError(f"the results of {record.name} could not be restored. {sandbox.last_lines(done.lines)}")
    config = files.read_json(MODEL / "config.json")
    if config["digest"] != record.training_digest:
        raise TrialError(f"DVC made another training than that of {record.name}. Run the same `ddpm try` again.")
