"""Moments of features and the Fréchet distance of two sets (FID), in float64, block by block.

torchmetrics is not used, because it takes eigenvalues of a product that is not symmetric: slower, and inexact when a
covariance is rank deficient (fewer images than features). The tests compare with torchmetrics.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ddpm.metrics.shards import WHOLE, Shard

Floats = NDArray[np.float64]

SMALLEST_SET = 50  # images; with fewer, a covariance is meaningless and every score is refused
BLOCK = 512  # rows processed at a time
SIZES = 8  # subset sizes that FID-infinity is extrapolated from
SMALLEST_PART = 2  # the smallest subset is half of the set: below, the bias is not linear in 1/n


class TooFewImagesError(ValueError):
    """A set is too small to be scored."""


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and covariance (D, D) of `count` feature vectors, divided by count - 1 as in Heusel et al. 2017."""

    count: int
    mean: Floats
    covariance: Floats

    @cached_property
    def root(self) -> Floats:
        """The symmetric square root of the covariance; eigenvalues that rounding made negative count as 0."""
        values, vectors = np.linalg.eigh(self.covariance)
        root: Floats = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
        return root


class MomentsAccumulator:
    """Accumulates mean and covariance of features in blocks, or from several processes (`merge`).

    Keeps the mean and the sum of squared deviations (Chan, Golub & LeVeque 1983). Unlike raw second moments, these
    lose no digits when the mean is large relative to the standard deviation.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(dimension)
        self.scatter: Floats = np.zeros((dimension, dimension))

    def add(self, features: NDArray[np.floating]) -> None:
        """Add a block (B, D). Raises ValueError for a value that is not finite."""
        block = finite(features)
        if len(block) == 0:
            return
        mean = block.mean(axis=0)
        centred = block - mean
        self._join(len(block), mean, centred.T @ centred)

    def merge(self, other: "MomentsAccumulator") -> None:
        """Add everything that `other` has accumulated."""
        if other.count:
            self._join(other.count, other.mean, other.scatter)

    def moments(self) -> Moments:
        """Return the moments. Raises TooFewImagesError below two vectors."""
        if self.count < 2:
            raise TooFewImagesError(f"a covariance needs at least two feature vectors, not {self.count}")
        return Moments(self.count, self.mean, self.scatter / (self.count - 1))

    def _join(self, count: int, mean: Floats, scatter: Floats) -> None:
        """Update the moments with those of another set."""
        total = self.count + count
        gap = mean - self.mean
        self.scatter = self.scatter + scatter + np.outer(gap, gap) * (self.count * count / total)
        self.mean = self.mean + gap * (count / total)
        self.count = total


def finite(features: NDArray[np.floating]) -> Floats:
    """Convert features to float64. Raises ValueError for a value that is not finite."""
    block = np.asarray(features, np.float64)
    if not np.isfinite(block).all():
        raise ValueError("features contain NaN or infinity: the extractor or its input is broken")
    return block


def moments(features: NDArray[np.floating], indices: NDArray[np.int64] | None = None) -> Moments:
    """Compute mean and covariance of features (N, D), or of those at `indices`, block by block.

    Raises ValueError for a value that is not finite, TooFewImagesError below two vectors.
    """
    accumulator = MomentsAccumulator(features.shape[1])
    for start in range(0, len(features) if indices is None else len(indices), BLOCK):
        part = slice(start, start + BLOCK)
        accumulator.add(features[part if indices is None else indices[part]])
    return accumulator.moments()


def require_enough(count: int, what: str, remedy: str) -> None:
    """Refuse a set that is too small for any score. Raises TooFewImagesError."""
    if count < SMALLEST_SET:
        raise TooFewImagesError(f"{what}: {count} images are too few to score; at least {SMALLEST_SET}. {remedy}")


def frechet_distance(first: Moments, second: Moments) -> float:
    """Compute the squared Fréchet distance of two Gaussians (FID for Inception features; Heusel et al. 2017).

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C2^(1/2) C1 C2^(1/2))^(1/2))`. The trace of the last root is the sum of the square
    roots of a symmetric matrix's eigenvalues, so it is real and finite for rank-deficient covariances too. The root of
    `second` is cached, so pass the reference second. Raises ValueError for different dimensions.
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"features of {first.mean.size} and {second.mean.size} dimensions cannot be compared")
    product = second.root @ first.covariance @ second.root
    return _distance(first.mean - second.mean, float(np.trace(first.covariance)), second, product)


def frechet_to(features: NDArray[np.floating], second: Moments, indices: NDArray[np.int64] | None = None) -> float:
    """Compute the squared Fréchet distance of features (N, D), or of those at `indices`, to a reference.

    Equal to the distance of their moments, by the smaller of two eigenvalue problems: with X the centred features, the
    non-zero eigenvalues of `C2^(1/2) C1 C2^(1/2)` are those of `X C2 X^T / (N - 1)`, which is (N, N).
    """
    count, dimension = len(features) if indices is None else len(indices), features.shape[1]
    if count > dimension:
        return frechet_distance(moments(features, indices), second)
    block = finite(features if indices is None else features[indices])
    mean = block.mean(axis=0)
    centred = (block - mean) / np.sqrt(count - 1)
    return _distance(
        mean - second.mean, float(np.square(centred).sum()), second, centred @ second.covariance @ centred.T
    )


def _distance(gap: Floats, variance: float, second: Moments, product: Floats) -> float:
    """Compute the distance from the difference of the means, the first set's total variance, and the product.

    product: any matrix with the non-zero eigenvalues of `C2^(1/2) C1 C2^(1/2)`.
    """
    overlap = np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0, None)).sum()
    # Rounding can leave a tiny negative number for equal sets.
    return max(0.0, float(gap @ gap + variance + np.trace(second.covariance) - 2 * overlap))


def frechet_infinity(features: NDArray[np.floating], reference: Moments, seed: int = 0, shard: Shard = WHOLE) -> float:
    """Fréchet distance of features (N, D) extrapolated to endlessly many (Chong & Forsyth 2020).

    The distance of a subset of n is nearly linear in 1/n: a line is fitted through subsets drawn by `seed`, of N/2 to N
    images evenly spaced in 1/n, and read off at 0. It is an estimate, so it may be below 0; that the reference is
    finite as well is not made good.
    """
    inverse = np.linspace(SMALLEST_PART, 1, SIZES) / len(features)
    order = np.random.default_rng(seed).permutation(len(features))
    sizes = np.rint(1 / inverse).astype(int)

    def distance(number: int) -> Floats:
        # Each subset starts at another offset of the shuffled set, so that they share as few images as possible.
        place = np.roll(order, number * len(order) // SIZES)[: sizes[number]]
        return np.array([frechet_to(features, reference, np.sort(place))])

    return float(np.polyfit(1 / sizes, shard.map(distance, range(SIZES)), 1)[1])
