"""Comparison of two models: their weights tensor by tensor, their scores against the spread of each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.values import is_number

WITHIN = 2.0
"""Standard deviations of the difference that still count as the same score."""


@dataclass(frozen=True)
class Distance:
    """Distance of one tensor, or of all: largest absolute difference, and relative to the tensor's largest weight."""

    absolute: float
    relative: float


def weights(ours: Path, theirs: Path) -> dict[str, Distance]:
    """By tensor name, farthest first. Raises ValueError when names or shapes differ."""
    mine, other = files.read_tensors(ours), files.read_tensors(theirs)
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (mine, other)]
    if shapes[0] != shapes[1]:
        differing = sorted(name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name))
        raise ValueError(f"the two are different networks: {', '.join(differing[:3])}")
    found = {}
    for name, tensor in other.items():
        if tensor.numel():
            far = (mine[name].double() - tensor.double()).abs().max().item()
            found[name] = Distance(far, far / max(tensor.double().abs().max().item(), 1e-30))
    return dict(sorted(found.items(), key=lambda each: -each[1].absolute))


def overall(distances: Mapping[str, Distance]) -> Distance:
    """The largest of each."""
    return Distance(
        max(each.absolute for each in distances.values()), max(each.relative for each in distances.values())
    )


@dataclass(frozen=True)
class Score:
    """One score, recorded and rebuilt. spread: standard deviation of their difference; None where it is not known."""

    name: str
    recorded: float
    rebuilt: float
    spread: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether they lie within the spread; None where that cannot be said."""
        if self.spread is None:
            return None
        return abs(self.recorded - self.rebuilt) <= WITHIN * self.spread


def scores(recorded: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> list[Score]:
    """The scores that both have. Raises ValueError when they were not measured under equal conditions."""
    theirs, ours = (_conditions(each) for each in (recorded, rebuilt))
    differing = [key for key in theirs if key in ours and theirs[key] != ours[key]]
    if differing:
        raise ValueError(f"the scores were not measured alike: {', '.join(differing)} differ")
    names = [name for name in recorded if is_number(recorded[name]) and is_number(rebuilt.get(name))]
    return [
        Score(name, float(recorded[name]), float(rebuilt[name]), _spread(name, recorded, rebuilt))
        for name in names
        if not name.endswith("_std")
    ]


def _conditions(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions that do not follow from the weights: a rebuilt extractor differs by rounding as well."""
    return {key: value for key, value in metrics.get("conditions", {}).items() if not key.endswith("sha256")}


def _spread(name: str, recorded: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> float | None:
    """Standard deviation of the difference of two scores of whole sets; None where it is not known for both."""
    found = [deviation for each in (recorded, rebuilt) if (deviation := _deviation(name, each)) is not None]
    return math.hypot(*found) if len(found) == len((recorded, rebuilt)) else None


def _deviation(name: str, metrics: Mapping[str, Any]) -> float | None:
    """Standard deviation of the score of a whole set, from that of its blocks of seeds, or else of its parts.

    That of a mean of n independent values is theirs over the root of n. A score of a whole set is nearly the mean of
    those of its blocks, up to the bias of smaller sets; where that bias varies, as with FID, this errs upwards.
    """
    conditions = metrics.get("conditions", {})
    by_blocks = metrics.get("spread", {}).get(name, {}).get("std")
    blocks = metrics.get("blocks", {}).get("count", conditions.get("blocks"))
    of_parts, parts = metrics.get(f"{name}_std"), conditions.get("inception_score_splits")
    for deviation, count in ((by_blocks, blocks), (of_parts, parts)):
        if is_number(deviation) and is_number(count) and count > 0:
            return float(deviation) / math.sqrt(count)
    return None
