"""Comparison of two models: weights tensor by tensor, scores relative to their spread."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.evaluation.score_record import ScoreRecord, finite

WITHIN = 2.0
"""Standard deviations of the difference within which two scores agree."""


@dataclass(frozen=True)
class Distance:
    """Distance of one tensor, or of all: largest absolute difference, and relative to the tensor's largest weight."""

    absolute: float
    relative: float


def weights(ours: Path, theirs: Path) -> dict[str, Distance]:
    """Compare by tensor name, largest difference first. Raises ValueError if names or shapes differ."""
    mine, other = files.read_tensors(ours), files.read_tensors(theirs)
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (mine, other)]
    if shapes[0] != shapes[1]:
        differing = sorted(name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name))
        raise ValueError(f"the networks differ: {', '.join(differing[:3])}")
    found = {}
    for name, tensor in other.items():
        if tensor.numel():
            far = (mine[name].double() - tensor.double()).abs().max().item()
            found[name] = Distance(far, far / max(tensor.double().abs().max().item(), 1e-30))
    return dict(sorted(found.items(), key=lambda each: -each[1].absolute))


def overall(distances: Mapping[str, Distance]) -> Distance:
    """Return the maxima over all tensors."""
    return Distance(
        max(each.absolute for each in distances.values()), max(each.relative for each in distances.values())
    )


@dataclass(frozen=True)
class Score:
    """A score, recorded and rebuilt. spread: standard deviation of their difference, None if unknown."""

    name: str
    recorded: float
    rebuilt: float
    spread: float | None

    @property
    def agrees(self) -> bool | None:
        """True if they differ by at most WITHIN spreads; None if the spread is unknown."""
        if self.spread is None:
            return None
        return abs(self.recorded - self.rebuilt) <= WITHIN * self.spread


def scores(recorded: ScoreRecord, rebuilt: ScoreRecord) -> list[Score]:
    """Compare the scores that both have. Raises ValueError if they were measured under different conditions."""
    theirs, ours = (_conditions(each) for each in (recorded, rebuilt))
    differing = [key for key in theirs if key in ours and theirs[key] != ours[key]]
    if differing:
        raise ValueError(f"the scores were measured under different conditions: {', '.join(differing)} differ")
    pairs = {name: (recorded.value(name), rebuilt.value(name)) for name in recorded.source}
    return [
        Score(name, before, after, _spread(name, recorded, rebuilt))
        for name, (before, after) in pairs.items()
        if before is not None and after is not None and not name.endswith("_std")
    ]


def _conditions(record: ScoreRecord) -> dict[str, Any]:
    """Select the conditions without hashes: a rebuilt extractor may differ by rounding."""
    return {key: value for key, value in record.conditions.items() if not key.endswith("sha256")}


def _spread(name: str, *records: ScoreRecord) -> float | None:
    """Return the standard deviation of the difference of a score of whole sets; None if unknown for a record."""
    deviations = [deviation for each in records if (deviation := _deviation(name, each)) is not None]
    return math.hypot(*deviations) if len(deviations) == len(records) else None


def _deviation(name: str, record: ScoreRecord) -> float | None:
    """Return the standard deviation of the score of a whole set, from its seed blocks, else from its parts.

    The mean of n independent values has their deviation divided by the root of n. A score of a whole set is nearly the
    mean over its blocks, up to the bias of smaller sets; where that bias varies, as with FID, this is too large.
    """
    by_blocks = (record.spread.get(name), record.blocks)
    by_parts = (record.value(f"{name}_std"), finite(record.conditions.get("inception_score_splits")))
    for deviation, count in (by_blocks, by_parts):
        if deviation is not None and count:
            return deviation / math.sqrt(count)
    return None
