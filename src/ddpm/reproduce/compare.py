"""Comparison of two models: weights tensor by tensor, scores relative to their spread."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.values import is_number

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


def scores(recorded: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> list[Score]:
    """Compare the scores that both have. Raises ValueError if they were measured under different conditions."""
    theirs, ours = (_conditions(each) for each in (recorded, rebuilt))
    differing = [key for key in theirs if key in ours and theirs[key] != ours[key]]
    if differing:
        raise ValueError(f"the scores were measured under different conditions: {', '.join(differing)} differ")
    names = [name for name in recorded if is_number(recorded[name]) and is_number(rebuilt.get(name))]
    return [
        Score(name, float(recorded[name]), float(rebuilt[name]), _spread(name, recorded, rebuilt))
        for name in names
        if not name.endswith("_std")
    ]


def _conditions(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Select the conditions without hashes: a rebuilt extractor may differ by rounding."""
    return {key: value for key, value in metrics.get("conditions", {}).items() if not key.endswith("sha256")}


def _spread(name: str, recorded: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> float | None:
    """Return the spread over blocks of seeds (`spread`), else the score's standard deviation (`NAME_std`)."""
    found = [each.get("spread", {}).get(name, {}).get("std", each.get(f"{name}_std")) for each in (recorded, rebuilt)]
    return math.hypot(*found) if all(is_number(each) for each in found) else None
