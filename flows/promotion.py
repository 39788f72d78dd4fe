"""From finished stages to a judged model: record, register, verify, rescore, judge, ask, promote."""

from collections.abc import Mapping, Sequence
from typing import Any

from ddpm.common import files
from ddpm.config import params
from ddpm.evaluation.gate import Verdict
from flows import approval
from flows.dvc import Outcome
from flows.summary import Registered, Report
from flows.tasks import candidate, commit


def promote(
    settings: params.Params,
    outcomes: Sequence[Outcome],
    drifted: Mapping[str, Any] | None = None,
    *,
    keep: bool = False,
) -> Report:
    """Record, register and judge what the stages made, and move the champion if the gate says so.

    drifted: how the data differ from the champion's, if there is one.

    keep: commit what shaped the version to the branch flow.branch, whatever its verdict will be.
    """
    metrics = files.read_json(candidate.METRICS)
    name = settings.promote.name
    run_id: str = _step("record", candidate.record, settings, metrics, drifted)
    number, new = _step("register", candidate.register, name, run_id, metrics)
    if keep:
        _step("commit", commit.keep, settings.flow.branch, name, number, run_id)
    champion = _champion(name)
    scores = {"candidate": metrics, "champion": metrics if champion == number else None}
    if champion != number:
        _step("verify", candidate.verify, name, number)
        if champion is not None:
            scores = _step("champion", candidate.rescore, name, champion, settings, metrics)
    verdict: Verdict = _step("gate", candidate.judge, settings.promote, name, number, champion, scores)
    verdict = approval.decided(settings.promote, name, number, verdict, champion)
    if verdict.promote:
        consent = approval.evidence(name, number, champion)
        _step("promote", candidate.move, name, number, verdict, champion, consent)
    there = _status(name)
    aliases = tuple(sorted(alias for alias, version in there.items() if version == number))
    made = Registered(name, number, new, aliases, there.get("champion"), run_id)
    unkept = () if keep else commit.uncommitted()
    return Report(outcomes, verdict, made, metrics, champion=scores["champion"], drift=drifted, uncommitted=unkept)


def _step(name: str, work: Any, *arguments: Any) -> Any:
    """Run a task under a name; its result."""
    state = work.with_options(name=name, task_run_name=name)(*arguments, return_state=True)
    return state.result()


def _champion(name: str) -> int | None:
    """The champion's version. Raises RegistryError when its files are gone: whoever asks for it would get nothing."""
    from ddpm import registry

    champion = _status(name).get("champion")
    if champion is not None:
        registry.require_files(name, champion)
    return champion


def _status(name: str) -> dict[str, int]:
    """Alias to version."""
    from ddpm import registry

    return dict(registry.status(name).aliases)
