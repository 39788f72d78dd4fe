"""Kernel Inception Distance of two sets of features (Binkowski et al. 2018), over disjoint subsets."""

import numpy as np
from numpy.typing import NDArray

from ddpm.metrics.shards import WHOLE, Shard

Array = NDArray[np.floating]
Floats = NDArray[np.float64]

SUBSETS = 20
SMALLEST_SUBSET, LARGEST_SUBSET = 10, 1000  # images


def subset_values(fake: Array, real: Array, seed: int = 0, shard: Shard = WHOLE) -> Floats:
    """Compute the squared maximum mean discrepancy of each pair of subsets, (subsets,); their mean is KID.

    Both sets are shuffled with `seed` (they may be sorted by class) and split into equally many disjoint subsets of at
    most LARGEST_SUBSET images, so the values are nearly independent, and models sampled from the same seeds can be
    compared subset by subset. Raises ValueError below 2 * SMALLEST_SUBSET images.
    """
    fewest = min(len(fake), len(real))
    if fewest < 2 * SMALLEST_SUBSET:
        raise ValueError(f"{fewest} images are too few for KID; at least {2 * SMALLEST_SUBSET}")
    count = max(min(SUBSETS, fewest // SMALLEST_SUBSET), fewest // LARGEST_SUBSET)
    # Independent shuffles: two sets with the same class order must not be paired class by class.
    ours, theirs = (_subsets(each, count, [seed, number]) for number, each in enumerate((fake, real)))

    def value(number: int) -> Floats:
        return np.array([squared_mmd(fake[ours[number]], real[theirs[number]])])

    found: Floats = shard.map(value, range(count))
    return found


def kid(values: Floats) -> dict[str, float]:
    """Compute KID and its standard error from the values of the subsets. The estimate is unbiased and may be negative.

    The error is the sample standard deviation (n - 1) over the disjoint subsets, divided by the root of their number.
    torchmetrics and torch-fidelity instead report the population standard deviation (n) over overlapping subsets.
    """
    return {"kid": float(values.mean()), "kid_se": float(values.std(ddof=1) / len(values) ** 0.5)}


def squared_mmd(first: Array, second: Array) -> float:
    """Estimate the squared maximum mean discrepancy of (N, D) and (M, D), unbiased, with the kernel (x y / D + 1)^3."""
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(_mean_of_others(x) + _mean_of_others(y) - 2 * _kernel(x, y).mean())


def _mean_of_others(x: Floats) -> float:
    """Average the kernel over all pairs of different rows."""
    matrix = _kernel(x, x)
    return float((matrix.sum() - np.trace(matrix)) / (len(x) * (len(x) - 1)))


def _kernel(x: Floats, y: Floats) -> Floats:
    matrix: Floats = (x @ y.T / x.shape[1] + 1) ** 3
    return matrix


def _subsets(features: Array, count: int, seed: list[int]) -> list[NDArray[np.int64]]:
    """Draw `count` disjoint subsets of equal size as ascending indices, the fastest order to read mapped features."""
    size = min(len(features) // count, LARGEST_SUBSET)
    order = np.random.default_rng(seed).permutation(len(features))
    return [np.sort(order[number * size : (number + 1) * size]) for number in range(count)]
