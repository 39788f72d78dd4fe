"""The rows of a result: scores with intervals, and speed, of the champion and of each variant."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddpm.common.units import duration, number, score_number
from ddpm.evaluation import seed_spread
from ddpm.evaluation.score_record import ScoreRecord, measured
from ddpm.report import model_comparison, scores
from ddpm.trials import speed
from ddpm.trials.plan import shown
from ddpm.trials.records import Record
from ddpm.trials.request import Result
from ddpm.trials.speed import Speed


@dataclass(frozen=True)
class Row:
    """A model or a variant. scores: formatted, by key of metrics.json; seconds, rate: of training, "" if unknown."""

    name: str
    extractor: str
    scores: Mapping[str, str]
    seconds: str
    rate: str


def rows(result: Result) -> list[Row]:
    """Format the champion, if there is one, and each variant; of several seeds, the mean."""
    found = []
    if result.champion is not None:
        record = ScoreRecord.from_json(result.champion.metrics)
        found.append(_row(result.champion.name, [record], [speed.speed(result.champion.digest)]))
    for label, group in result.groups.items():
        name = label if len(group) == 1 else f"{label} ({len(group)} seeds)"
        speeds = [Speed(each.train_seconds, each.images_per_second) for each in group]
        found.append(_row(name, [each.scores for each in group], speeds))
    return found


def unequal(result: Result) -> str:
    """Explain in which conditions the evaluations differ, so that the table's scores do not compare; "" if in none."""
    records = [each.scores for each in result.finished]
    if result.champion is not None:
        records.insert(0, ScoreRecord.from_json(result.champion.metrics))
    names = model_comparison.unequal([each for each in records if each.conditions])
    if not names:
        return ""
    return f"These evaluations differ in {', '.join(names).replace('_', ' ')}: compare by the gate's verdicts only"


def _row(name: str, records: Sequence[ScoreRecord], speeds: Sequence[Speed]) -> Row:
    conditions = records[0].conditions
    texts = {kind.key: _score(records, kind.key, share=kind.share) for kind in scores.KINDS}
    seconds = [each.seconds for each in speeds if each.seconds is not None]
    rates = [each.images_per_second for each in speeds if each.images_per_second is not None]
    return Row(
        name,
        f"({measured(conditions)})" if "extractor" in conditions else "",
        texts,
        duration(sum(seconds) / len(seconds)) if seconds else "",
        number(sum(rates) / len(rates)) if rates else "",
    )


def _score(records: Sequence[ScoreRecord], key: str, *, share: bool) -> str:
    """Format a score with its interval: between blocks of seeds of one model, between models of several seeds."""
    if len(records) == 1:
        return model_comparison.with_interval(records[0], key, share=share)
    values = [value for each in records if (value := each.value(key)) is not None]
    if len(values) < len(records):
        return ""
    found = seed_spread.spread(values)
    half = f" ± {score_number(found.half, digits=2, share=share)}" if math.isfinite(found.half) else ""
    return f"{score_number(found.mean, share=share)}{half}"


def changed(result: Result) -> dict[str, list[str]]:
    """Format each parameter that a variant changes: its value in every row of the table, by key."""
    keys = dict.fromkeys(key for each in result.finished for key in each.changes)
    found = {}
    for key in keys:
        section, _, name = key.partition(".")
        own = [shown(group[0].values[section].get(name)) for group in result.groups.values()]
        champion = [result.champion.parameters.get(key, "")] if result.champion is not None else []
        found[key] = [*champion, *own]
    return found


def combined(group: Sequence[Record]) -> str:
    """Summarise the comparisons of a variant's seeds: mean change of FID with its interval, and number of promotions.

    The change is relative to the model compared with, drawn from the same seeds, and averaged over its logarithm; ""
    with fewer than two comparisons.
    """
    changes = []
    for each in group:
        compared = each.compared
        ours, theirs = (ScoreRecord.from_json(compared.get(side, {})).fid for side in ("candidate", "champion"))
        if ours and theirs and ours > 0 and theirs > 0:
            changes.append(math.log(ours / theirs))
    if len(changes) < 2 or len(changes) < len(group):
        return ""
    found, promoted = seed_spread.spread(changes), sum(bool(each.verdict.get("promote")) for each in group)
    chance = "" if abs(found.mean) > found.half else ", which may be chance"
    return (
        f"FID is {_relative(found.mean)} on average, 95% interval {_relative(found.mean - found.half)} to "
        f"{_relative(found.mean + found.half)}{chance}; the gate would promote {promoted} of {len(group)} seeds"
    )


def _relative(change: float) -> str:
    """Format a change of a logarithm as `12% lower`, or `3.1 times as high` from a factor of 2 on."""
    if change > math.log(2):
        return f"{number(math.exp(change))} times as high"
    return f"{abs(math.expm1(change)):.0%} {'lower' if change < 0 else 'higher'}"


def interval(result: Result) -> str:
    """Name what the intervals of the table are over."""
    return "over training seeds" if result.request.seeds > 1 else "over blocks of images drawn"


def parameters(result: Result) -> dict[str, str]:
    """Format the parameters in which the variants differ from params.yaml, and the budget."""
    found = {
        f"{key} of {each.name}": shown(value)
        for each in result.finished
        for key, value in (*each.changes.items(), ("train.seed", each.seed))
    }
    if result.request.budget != 1:
        found["budget"] = f"{result.request.budget:g} of the training images, for all of them"
    return found
