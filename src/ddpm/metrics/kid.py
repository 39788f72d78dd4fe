"""Kernel Inception Distance of two sets of features (Binkowski et al. 2018), over disjoint subsets."""

import numpy as np
from numpy.typing import NDArray

from ddpm.metrics.shards import WHOLE, Shard

Array = NDArray[np.floating]
Floats = NDArray[np.float64]

SUBSETS = 20
SMALLEST_SUBSET, LARGEST_SUBSET = 10, 1000  # images


def subset_values(fake: Array, real: Array, seed: int = 0, shard: Shard = WHOLE) -> Floats:
    """The squared maximum mean discrepancy of each pair of subsets, (subsets,): their mean is KID.

    Both sets are shuffled by `seed` (they may come sorted by class) and cut into as many disjoint subsets: the values
    then are nearly independent, and two models that were drawn from the same seeds are compared pair by pair. Of each
    set at most LARGEST_SUBSET images per subset are used. Raises ValueError below 2 * SMALLEST_SUBSET images.
    """
    fewest = min(len(fake), len(real))
    if fewest < 2 * SMALLEST_SUBSET:
        raise ValueError(f"{fewest} images are too few for KID; {2 * SMALLEST_SUBSET} at least")
    count = max(min(SUBSETS, fewest // SMALLEST_SUBSET), fewest // LARGEST_SUBSET)
    # Shuffled apart: two sets that are sorted alike must not be paired class by class.
    ours, theirs = (_subsets(each, count, [seed, number]) for number, each in enumerate((fake, real)))

    def value(number: int) -> Floats:
        return np.array([squared_mmd(fake[ours[number]], real[theirs[number]])])

    found: Floats = shard.map(value, range(count))
    return found


def kid(values: Floats) -> dict[str, float]:
    """KID and its standard error, from the values of the subsets. The estimate is unbiased, so it may be below 0.

    The error is the deviation over the subsets, divided by their number less 1, over the root of their number. What
    torchmetrics and torch-fidelity report beside KID is the deviation itself, divided by the number, over subsets that
    overlap.
    """
    return {"kid": float(values.mean()), "kid_se": float(values.std(ddof=1) / len(values) ** 0.5)}


def squared_mmd(first: Array, second: Array) -> float:
    """Unbiased squared maximum mean discrepancy of (N, D) and (M, D) under the kernel (x y / D + 1)^3."""
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(_mean_of_others(x) + _mean_of_others(y) - 2 * _kernel(x, y).mean())


def _mean_of_others(x: Floats) -> float:
    """Mean of the kernel over all pairs of two different rows."""
    matrix = _kernel(x, x)
    return float((matrix.sum() - np.trace(matrix)) / (len(x) * (len(x) - 1)))


def _kernel(x: Floats, y: Floats) -> Floats:
    matrix: Floats = (x @ y.T / x.shape[1] + 1) ** 3
    return matrix


def _subsets(features: Array, count: int, seed: list[int]) -> list[NDArray[np.int64]]:
    """`count` disjoint subsets of equal size, as indices; ascending, as memory-mapped features are read fastest."""
    size = min(len(features) // count, LARGEST_SUBSET)
    order = np.random.default_rng(seed).permutation(len(features))
    return [np.sort(order[number * size : (number + 1) * size]) for number in range(count)]
