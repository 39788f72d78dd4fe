"""Fréchet distances between real images, extrapolated to other sample sizes. Pure arithmetic: imports no numpy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RealDistances:
    """Fréchet distances between two halves of `half` images each, and between `train` and `heldout` images.

    halves, split: the two distances; dimension: of the features, None if unknown.
    """

    halves: float
    split: float
    half: int
    train: int
    heldout: int
    dimension: int | None = None

    def at(self, first: int, second: int) -> float:
        """Estimate the distance between `first` training images and `second` unseen images of the same distribution.

        Finite samples add a bias of c (1/n1 + 1/n2) to first order (Chong & Forsyth 2020); c is determined from the
        halves. Any excess of the held-out distance over that bias does not shrink with sample size: it remains because
        the extractor was trained on the training images.
        """
        unseen = max(0.0, self.split - self._finite_sample_bias(self.train, self.heldout))
        return unseen + self._finite_sample_bias(first, second)

    @property
    def first_order(self) -> bool:
        """True if each half has more images than features, so that the first-order bias applies."""
        return self.dimension is not None and self.half > self.dimension

    @property
    def margin(self) -> float:
        """Factor by which a distance may exceed its floor by chance.

        The floor is a single draw of an expected value. Without the first order it is an upper bound, and distances
        between fewer images than features hardly vary, so the factor is smaller.
        """
        return 2.0 if self.first_order else 1.25

    def _finite_sample_bias(self, first: int, second: int) -> float:
        """Estimate the bias of a distance between `first` and `second` images.

        The first order requires more images than features. With fewer, the bias falls more slowly than 1/n, so it is
        not extrapolated to larger counts: the measured value is an upper bound there, and a difference is never
        overestimated. For smaller counts, the first order already is an upper bound.
        """
        if not self.first_order:
            first, second = min(first, self.half), min(second, self.half)
        return self.halves * self.half / 2 * (1 / first + 1 / second)


def expected_fid(floors: Mapping[str, Any], counts: Mapping[str, Any], conditions: Mapping[str, Any]) -> float | None:
    """Estimate the FID of as many new real images as there are samples, against the same reference.

    Extrapolated from the floors of FID (`heldout`, `halves`, of `counts` images) to the counts of `conditions`, as in
    metrics.json; of series, from `resampled` halves, since theirs are of different times. None without halves or
    counts. Without held-out images, it is the finite-sample bias alone.
    """
    halves, split = _number(floors.get("resampled", floors.get("halves"))), _number(floors.get("heldout"))
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
