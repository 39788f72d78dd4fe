"""One command's request: variants, seeds and budget; its plan, its run, and its result with what to compare with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ddpm import registry
from ddpm.common import files
from ddpm.config import params
from ddpm.evaluation import score_record
from ddpm.registry.lineage import parameters_of
from ddpm.trials import engine, plan, records
from ddpm.trials.engine import Reference
from ddpm.trials.plan import Trial
from ddpm.trials.records import Record
from ddpm.trials.sandbox import Execute, TrialError


@dataclass(frozen=True)
class Request:
    """changes: `SECTION.KEY=VALUE` arguments, none for the current recipe. seeds: of each variant."""

    changes: tuple[str, ...] = ()
    seeds: int = 1
    budget: float = 1.0

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return asdict(self)


@dataclass(frozen=True)
class Champion:
    """The champion: version, checkpoint folder, training's digest, evaluation (metrics.json), parameters as text."""

    number: int
    folder: Path
    digest: str
    metrics: Mapping[str, Any]
    parameters: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name on pages."""
        return f"champion (version {self.number})"


@dataclass(frozen=True)
class Result:
    """Records of all trials of a request, and the champion; None without one, or if the budget is not the whole."""

    request: Request
    records: Sequence[Record]
    champion: Champion | None

    @property
    def failed(self) -> bool:
        """True if a trial failed."""
        return any(each.state == "failed" for each in self.records)

    @property
    def finished(self) -> list[Record]:
        """The finished trials."""
        return [each for each in self.records if each.state == "finished"]

    @property
    def groups(self) -> dict[str, list[Record]]:
        """The finished trials of each variant, its seeds, by its short label, in order."""
        found: dict[str, list[Record]] = {}
        for each in self.finished:
            found.setdefault(each.short, []).append(each)
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain values, for scripts."""
        return {
            "request": self.request.as_json(),
            "champion": self.champion and {"version": self.champion.number, "scores": scores(self.champion.metrics)},
            "trials": [entry(each) for each in self.records],
        }


def entry(record: Record) -> dict[str, Any]:
    """Plain values of a trial: changes, state, times, scores with conditions, verdict."""
    left_out = {"values", "digest", "training_digest", "against_weights"}
    return {
        **{key: value for key, value in asdict(record).items() if key not in left_out},
        "state": records.shown_state(record),
        "scores": scores(record.metrics),
    }


def scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Select the scores of an evaluation, with its conditions."""
    found = {
        name: value for name in score_record.SCORES if (value := score_record.finite(metrics.get(name))) is not None
    }
    return {**found, "conditions": dict(metrics.get("conditions", {}))} if found else {}


def planned(request: Request, *, with_reference: bool) -> list[Trial]:
    """Plan the trials of a request. with_reference: the current recipe too, as the first ones. Raises ParamsError."""
    base = params.read_yaml(params.PARAMS_FILE)
    variants: list[dict[str, Any]] = plan.variants(request.changes) or [{}]
    if with_reference and {} not in variants:
        variants = [{}, *variants]
    return plan.make(base, variants, seeds=request.seeds, budget=request.budget)


def run(request: Request, execute: Execute, log: Callable[[str], None]) -> Result:
    """Run the trials of a request. Raises ParamsError before any work, TrialError if none can start."""
    planned(request, with_reference=False)
    champion = find_champion() if request.budget == 1 and request.changes else None
    alone = champion is not None or not request.changes
    trials = planned(request, with_reference=not alone)
    own = {each.seed: each.name for each in reversed(trials) if not each.changes}

    def reference(trial: Trial) -> Reference | None:
        if not request.changes or not trial.changes:
            return None
        if champion is not None:
            return Reference(champion.name, champion.folder, is_champion=True)
        name = own.get(trial.seed) or next(iter(own.values()))
        found = records.require(name)
        if found.state != "finished":
            raise TrialError(f"{name}, the current recipe to compare with, is {found.state}.")
        return Reference("current recipe", found.folder / records.MODEL)

    return Result(request, engine.run(trials, execute, log, reference), champion)


def find_champion() -> Champion | None:
    """Return the champion of promote.name; None without one."""
    found = registry.status(params.model_name()).champion
    if found is None:
        return None
    folder = registry.download(f"models:/{found.name}/{found.number}")
    digest = str(files.read_json(folder / "config.json").get("digest", ""))
    return Champion(found.number, folder, digest, found.evidence, parameters_of(found.run_id))
