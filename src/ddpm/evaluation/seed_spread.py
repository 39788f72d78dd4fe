"""Spread of scores between training seeds of one recipe, and its consequence for `promote.min_improvement`. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

from ddpm.evaluation import gate
from ddpm.evaluation.score_record import ScoreRecord

SCORES = ("fid", "kid", "precision", "recall", "inception_score", "class_accuracy", "memorisation_ratio")
CONFIDENCE = 0.95
FALSE_PROMOTIONS = 0.05
"""Share of seeds of one recipe that the proposed `promote.min_improvement` lets pass as an improvement, at most."""
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Spread:
    """A score of several seeds. std: with n - 1; half: half width of Student's 95 % interval of the mean."""

    count: int
    mean: float
    std: float
    half: float
    low: float
    high: float


@dataclass(frozen=True)
class Study:
    """Spread of each score between training seeds.

    pairs: number of ordered pairs of seeds. promoted: share of pairs in which the gate promotes one over the other at
    `min_improvement`. proposed: value for `promote.min_improvement`; None with fewer than three seeds or an FID of 0.
    relative: standard deviation of log FID.
    """

    scores: Mapping[str, Spread]
    pairs: int
    promoted: float
    min_improvement: float
    proposed: float | None
    relative: float

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least one value; with a single one, deviation and interval are 0."""
    count, mean = len(values), statistics.fmean(values)
    if count < 2:
        return Spread(count, mean, 0.0, 0.0, mean, mean)
    from scipy import stats  # only a spread needs it

    std = statistics.stdev(values)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * std / math.sqrt(count)
    return Spread(count, mean, std, half, min(values), max(values))


def spreads(records: Sequence[ScoreRecord]) -> dict[str, Spread]:
    """Summarise each of SCORES that every record has."""
    found = {}
    for name in SCORES:
        values = [value for each in records if (value := each.value(name)) is not None]
        if values and len(values) == len(records):
            found[name] = spread(values)
    return found


def study(metrics: Sequence[Mapping[str, Any]], limits: Mapping[str, Any]) -> Study:
    """Compare the evaluations (as metrics.json) of two or more trainings that differ in their seed alone.

    limits: arguments of `gate.decide`, among them min_improvement. Raises ValueError for fewer than two evaluations,
    different conditions, or an FID that is missing.
    """
    records = [ScoreRecord.from_json(each) for each in metrics]
    if len(records) < 2:
        raise ValueError(f"a spread between seeds needs at least two trainings; there are {len(records)}")
    _require_equal_conditions(records)
    fids = [each.fid for each in records if each.fid is not None]
    if len(fids) < len(records):
        raise ValueError("an evaluation has no FID, so the spread between seeds is unknown")
    pairs = [
        gate.decide(ours, theirs, **limits).promote
        for ours, theirs in permutations(metrics, 2)
        if _weights(ours) != _weights(theirs)
    ]
    relative = statistics.stdev(map(math.log, fids)) if min(fids) > 0 else math.inf
    return Study(
        spreads(records),
        len(pairs),
        sum(pairs) / len(pairs) if pairs else 0.0,
        float(limits["min_improvement"]),
        proposal(relative, len(fids)),
        relative,
    )


def proposal(relative: float, seeds: int) -> float | None:
    """Propose `min_improvement` so that another seed alone passes in at most FALSE_PROMOTIONS of comparisons.

    The difference of log FID of two seeds has the root of 2 times the deviation of one, `relative`; the required gain
    is its one-sided Student quantile with `seeds` - 1 degrees of freedom, rounded up to a percent. The gate also
    requires that the interval over blocks of seeds excludes 0, so fewer pass. None with fewer than FEWEST_SEEDS.
    """
    if seeds < FEWEST_SEEDS or not math.isfinite(relative):
        return None
    from scipy import stats

    reach = float(stats.t.ppf(1 - FALSE_PROMOTIONS, seeds - 1)) * math.sqrt(2) * relative
    return min(1.0, math.ceil(100 * -math.expm1(-reach) - 1e-9) / 100)


def _require_equal_conditions(records: Sequence[ScoreRecord]) -> None:
    first = records[0].conditions
    for each in records[1:]:
        keys = {**first, **each.conditions}
        different = [key for key in keys if key not in gate.IDENTITY and first.get(key) != each.conditions.get(key)]
        if different:
            raise ValueError(f"the evaluations differ in {', '.join(different)}, so their scores do not compare")


def _weights(metrics: Mapping[str, Any]) -> Any:
    return metrics.get("conditions", {}).get("weights_sha256")
