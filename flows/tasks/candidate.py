"""The tasks between a trained candidate and the champion: record, register, verify, rescore, judge, move.

Each is safe to repeat: the record is found by the training's digest, the version by its content, the verification by a
tag of the version, the scores of both models by their inputs; the decision is a pure function, and the champion moves
by compare-and-set. The next run completes one that was killed at any point.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ddpm.common import files
from ddpm.config import params
from ddpm.evaluation import gate
from ddpm.evaluation.gate import Verdict
from ddpm.evaluation.score_record import with_extractor
from ddpm.provenance import fingerprint
from flows import processes
from flows.console import reporter
from flows.registry_lock import registry_lock
from flows.tasks.outcome import finish

MODEL = Path("out/train/model")

METRICS = Path("out/evaluate/metrics.json")

RESCORED = Path(".state/champion")
NO_LIMITS = {"name", "approval", "approval_hours"}
"""Parameters of promotion that are not limits of the gate."""


@task(cache_policy=NO_CACHE, persist_result=False)
def record(settings: params.Params, metrics: Mapping[str, Any], drifted: Mapping[str, Any] | None) -> Any:
    """Complete the MLflow run of this training; returns its ID."""
    from ddpm import tracking

    run_id = tracking.record_outputs(settings, metrics)
    tracking.record_dataset(run_id)
    if drifted is not None:
        tracking.record_drift(run_id, drifted)
    return finish("record", "Completed", f"MLflow run {run_id}", run_id)


@task(cache_policy=NO_CACHE, persist_result=False)
def register(name: str, run_id: str, metrics: Mapping[str, Any]) -> Any:
    """Register the model, once per content; returns its version and whether that is new."""
    from ddpm import registry, tracking

    before = {version.number for version in registry.status(name).versions}
    number = registry.register(MODEL, name, run_id, metrics, tracking.lineage(), lock=registry_lock)
    new = number not in before
    text = f"{name} version {number}" + ("" if new else ", registered before")
    return finish("register", "Completed" if new else "Cached", text, (number, new))


@task(cache_policy=NO_CACHE, persist_result=False)
def verify(name: str, number: int) -> Any:
    """Load the version and sample from it in a clean process, unless that was done before."""
    from ddpm import registry

    verified = registry.version(name, number).verified
    found = registry.verify(name, number)
    text = f"loaded and sampled in a clean process: images {tuple(found['shape'][1:])} {found['dtype']}"
    return finish("verify", "Cached" if verified else "Completed", text)


@task(cache_policy=NO_CACHE, persist_result=False)
def rescore(name: str, champion: int, settings: params.Params, metrics: Mapping[str, Any]) -> Any:
    """Score `candidate` and `champion` in one process, with the same reference, seeds and extractor.

    A champion that cannot be sampled like the candidate (other classes, another resolution) gets the reason in place of
    scores, and the gate refuses the comparison.
    """
    from ddpm import registry

    log = reporter.logger("champion", get_run_logger())
    folder = registry.download(f"models:/{name}/{champion}")
    target = RESCORED / scoring_key(folder, settings) / "scores.json"
    if target.exists():
        return finish(
            "champion",
            "Cached",
            f"version {champion} was scored under these conditions before",
            _scores(target, name, champion),
        )
    log(f"scoring version {champion}, the champion, and the candidate")
    done = processes.run(
        processes.module_command("ddpm.stages.rescore", str(folder), str(target)),
        log,
        limit=settings.flow.time_limit,
        environment=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    last = done.lines[-1] if done.lines else ""
    if done.code and last.startswith("error: ") and not done.timed_out:
        reason = last.removeprefix("error: ")
        scores = {"candidate": metrics, "champion": {"refused": reason}}
        return finish(
            "champion", "Completed", f"version {champion} cannot be scored under these conditions: {reason}", scores
        )
    if done.timed_out or done.code:
        raise RuntimeError(f"the champion, version {champion}, could not be scored:\n" + "\n".join(done.lines[-12:]))
    scores = _scores(target, name, champion)
    return finish("champion", "Completed", f"version {champion} and the candidate scored", scores)


def _scores(path: Path, name: str, champion: int) -> dict[str, Any]:
    """Read the scores of both models, and add the generalisation gap that the champion's own training measured."""
    from ddpm import registry

    scores: dict[str, Any] = files.read_json(path)
    recorded = registry.version(name, champion).evidence
    scores["champion"] |= {key: recorded[key] for key in ("generalisation",) if key in recorded}
    return scores


@task(cache_policy=NO_CACHE, persist_result=False)
def judge(settings: params.Promote, name: str, number: int, champion: int | None, scores: Mapping[str, Any]) -> Any:
    """The gate's verdict, stored on the version with its evidence."""
    from ddpm import registry

    reason, limits = registry.withdrawn(name, number), settings.model_dump(exclude=NO_LIMITS)
    verdict = gate.decide(scores["candidate"], scores["champion"], **limits, withdrawn=reason)
    verdict = _named(verdict, scores["candidate"].get("conditions", {}))
    if verdict.verdict == "unchanged" and champion is not None and number != champion:
        ours, theirs = (registry.version(name, each).sampling for each in (number, champion))
        reason = (
            "the champion's own weights and settings, made by other code or parameters"
            if ours == theirs
            else f"the champion's own weights, sampled with other settings; `ddpm promote {number}` adopts them"
        )
        verdict = replace(verdict, reasons=(reason,))
    if verdict.verdict == "unchanged":  # the version carries the verdict that made it champion
        return finish("gate", "Completed", f"{verdict.verdict}: {verdict.reasons[0]}", verdict)
    versions = {"name": name, "candidate": number, "champion": champion}
    registry.save_evidence(
        name, number, {"versions": versions, "limits": limits, "verdict": verdict.as_json(), "scores": dict(scores)}
    )
    return finish("gate", "Completed", f"{verdict.verdict}: {'; '.join(verdict.reasons)}", verdict)


def _named(verdict: Verdict, conditions: Mapping[str, Any]) -> Verdict:
    """Add the extractor to each FID of a verdict."""
    rows = tuple(replace(row, name=with_extractor(row.name, conditions)) for row in verdict.rows)
    return replace(verdict, reasons=tuple(with_extractor(each, conditions) for each in verdict.reasons), rows=rows)


@task(cache_policy=NO_CACHE, persist_result=False)
def move(name: str, number: int, verdict: Verdict, champion: int | None, approval: dict[str, Any]) -> Any:
    """Make the version the champion if the champion is still the one it was judged against.

    approval: evidence of the approval for the audit trail; empty if none was required.
    """
    from ddpm import registry

    evidence = registry.load_evidence(name, number) | approval
    why = "; ".join(verdict.reasons)
    done = registry.promote(name, number, why=why, expected_champion=champion, evidence=evidence, lock=registry_lock)
    return finish("promote", "Completed", str(done))


@task(cache_policy=NO_CACHE, persist_result=False)
def describe(name: str, number: int) -> Any:
    """Write the model card to MLflow's pages and to the packed model."""
    from ddpm import registry

    registry.describe(name, number)
    return finish("card", "Completed", f"model card of version {number} in MLflow")


def scoring_key(champion: Path, settings: params.Params) -> str:
    """A hash of all that the scores of both depend on: weights, sampling, reference, and the scoring code."""
    return files.sha256_json(
        {
            "champion": {each.name: files.sha256_file(each) for each in sorted(champion.iterdir())},
            "candidate": {each.name: files.sha256_file(each) for each in sorted(MODEL.iterdir())},
            "sample": settings.sample.model_dump(mode="json"),
            "evaluate": settings.evaluate.model_dump(mode="json"),
            "features": files.sha256_file(Path("out/features/features.json")),
            "code": fingerprint.code_digest("rescore"),
        }
    )[:32]
