"""Fréchet distances of real images from each other, carried to other counts. Pure arithmetic: imports no numpy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RealDistances:
    """Distances of real images: between two times `half` of them, and from `train` to `heldout` others.

    dimension: of the features; None where it is not known.
    """

    halves: float
    split: float
    half: int
    train: int
    heldout: int
    dimension: int | None = None

    def at(self, first: int, second: int) -> float:
        """The distance expected from `first` of the training images to `second` unseen ones like them.

        Finite counts add c (1/n1 + 1/n2) to a distance, to first order (Chong & Forsyth 2020); the halves give c. What
        the held-out images are farther away than that, no count takes away: the extractor has learnt from the others.
        """
        unseen = max(0.0, self.split - self._of_counts(self.train, self.heldout))
        return unseen + self._of_counts(first, second)

    @property
    def first_order(self) -> bool:
        """Whether there are enough images for the first order, or it is not known."""
        return self.dimension is not None and self.half > self.dimension

    @property
    def margin(self) -> float:
        """How many times its floor a distance may be by chance.

        The floor is one draw of an expected value. As an upper bound it is never reached by chance, and distances of
        fewer images than features hardly vary.
        """
        return 2.0 if self.first_order else 1.25

    def _of_counts(self, first: int, second: int) -> float:
        """What finite counts alone make of a distance.

        The first order needs more images than features. With fewer, a distance falls more slowly than 1/n, so the one
        measured is not carried to larger counts: it is an upper bound there, and no difference is taken for real that
        is none. To smaller counts the first order is an upper bound already.
        """
        if not self.first_order:
            first, second = min(first, self.half), min(second, self.half)
        return self.halves * self.half / 2 * (1 / first + 1 / second)


def expected_fid(floors: Mapping[str, Any], counts: Mapping[str, Any], conditions: Mapping[str, Any]) -> float | None:
    """The FID expected of as many new real images as there are samples, against the same reference.

    Carried from the floors of FID (`heldout`, `halves`, of `counts` images) to the counts of `conditions`, as in
    metrics.json. None without halves or counts. Without held-out images it is what the counts alone make of it.
    """
    halves, split = _number(floors.get("halves")), _number(floors.get("heldout"))
    half, held = _number(counts.get("halves")), _number(counts.get("heldout"))
    reference, count = _number(conditions.get("reference_count")), _number(conditions.get("count"))
    if not halves or not half or not count or not reference:
        return None
    dimension = _number(conditions.get("feature_dimension"))
    real = RealDistances(
        halves=halves,
        split=split if held else 0.0,
        half=int(half),
        train=int(reference),
        heldout=int(held or half),
        dimension=int(dimension) or None,
    )
    return real.at(int(reference), int(count))


def _number(value: Any) -> float:
    """A finite number; 0 for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else 0.0
