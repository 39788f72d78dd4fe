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
    """One score, recorded and rebuilt. spread: standard deviation of their difference, None where none is known."""

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
    """Spread over blocks of seeds if any (`spread`), else the standard deviation of the score (`NAME_std`)."""
    found = [each.get("spread", {}).get(name, {}).get("std", each.get(f"{name}_std")) for each in (recorded, rebuilt)]
    return math.hypot(*found) if all(is_number(each) for each in found) else None
