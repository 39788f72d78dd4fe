"""Promotion of what the stages made: record, register, verify, rescore, judge, approve, promote, describe."""

from collections.abc import Mapping, Sequence
from typing import Any

from ddpm.common import files
from ddpm.config import params
from ddpm.evaluation.gate import Verdict
from flows import approval
from flows.dvc import StageRun
from flows.summary import PipelineResult, RegisteredVersion
from flows.tasks import candidate, commit, model_tag


def promote(
    settings: params.Params,
    stages: Sequence[StageRun],
    drifted: Mapping[str, Any] | None = None,
    *,
    commit_result: bool = False,
) -> PipelineResult:
    """Record, register and judge the model that the stages made; move the champion if the gate accepts it.

    drifted: the result of the drift check, None if there was nothing to compare with. commit_result: commit the files
    that define the version to the branch flow.branch, whatever the verdict.
    """
    metrics = files.read_json(candidate.METRICS)
    name = settings.promote.name
    run_id: str = _step("record", candidate.record, settings, metrics, drifted)
    number, new = _step("register", candidate.register, name, run_id, metrics)
    if commit_result:
        _step("commit", commit.commit_version, settings.flow.branch, name, number, run_id)
    champion = _champion(name)
    scores = {"candidate": metrics, "champion": metrics if champion == number else None}
    if champion != number:
        _step("verify", candidate.verify, name, number)
        if champion is not None:
            scores = _step("champion", candidate.rescore, name, champion, settings, metrics)
    verdict: Verdict = _step("gate", candidate.judge, settings.promote, name, number, champion, scores)
    verdict = approval.apply_approval(settings.promote, name, number, verdict, champion)
    if verdict.promote:
        consent = approval.evidence(name, number, champion)
        _step("promote", candidate.move, name, number, verdict, champion, consent)
    _step("card", candidate.describe, name, number)
    aliases = _aliases(name)
    if commit_result and aliases.get("champion") == number:
        _step("tag", model_tag.tag_champion, name, number)
    own = tuple(sorted(alias for alias, version in aliases.items() if version == number))
    return PipelineResult(
        stages,
        verdict,
        RegisteredVersion(name, number, new, own, aliases.get("champion"), run_id),
        metrics,
        champion=scores["champion"],
        judged=scores["candidate"],
        drift=drifted,
        uncommitted=() if commit_result else commit.uncommitted(),
    )


def _step(name: str, work: Any, *arguments: Any) -> Any:
    """Run a task under a name; its result."""
    state = work.with_options(name=name, task_run_name=name)(*arguments, return_state=True)
    return state.result()


def _champion(name: str) -> int | None:
    """The champion's version. Raises RegistryError if its files are missing, because it could not be served."""
    from ddpm import registry

    champion = _aliases(name).get("champion")
    if champion is not None:
        registry.require_files(name, champion)
    return champion


def _aliases(name: str) -> dict[str, int]:
    """Each alias of the model, with its version."""
    from ddpm import registry

    return dict(registry.status(name).aliases)
