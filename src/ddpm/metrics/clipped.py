"""Clipped density and clipped coverage (Salvy, Talbot & Thirion 2025, arXiv 2507.01761).

Both read as a share of good samples: they fall linearly as samples are replaced by bad ones, since no outlier, real or
generated, counts for more than one image. With x_i the N real images, y_j the M generated ones, r_i the distance of x_i
to its k-th nearest other real image, and B(x, r) a closed ball:

- clipped density: D(y) / D(x), at most 1, where D(y) is the mean over j of min(1, #{i: y_j in B(x_i, s_i)} / k) with
  clipped radii s_i = min(r_i, median of all r), and D(x) is the same of the real images, each without its own ball.
- clipped coverage: g(C) where C is the mean over i of min(1, #{j: y_j in B(x_i, r_i)} / k). g inverts f, where f(m) is
  the value that C is expected to have when m of the samples are drawn like the real images and the rest lie in no ball.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom


def clipped_density(samples: NDArray[np.floating], real: NDArray[np.integer], neighbours: int) -> float:
    """Clipped density, from the number of clipped balls that hold each sample (M,) and each other real image (N,)."""
    ideal = np.minimum(real / neighbours, 1).mean()
    return float(min(1.0, np.minimum(samples / neighbours, 1).mean() / ideal))


def clipped_coverage(held: NDArray[np.floating], samples: int, neighbours: int) -> float:
    """Clipped coverage, from the number of `samples` that the ball of each real image holds (N,)."""
    found = np.minimum(held / neighbours, 1).mean()
    return float(np.interp(found, expected_coverage(samples, len(held), neighbours), np.linspace(0, 1, samples + 1)))


def expected_coverage(samples: int, real: int, neighbours: int) -> NDArray[np.float64]:
    """f(m) for m = 0 ... samples, (samples + 1,).

    The probability that a further image falls into the ball of x_i is the k-th smallest of N - 1 uniform numbers, so
    beta(k, N - k) distributed, and the number J of m images in it is beta-binomial: f(m) = E[min(J, k)] / k.
    """
    good = np.arange(samples + 1)
    found = np.ones(samples + 1)
    for inside in range(neighbours):
        share = (neighbours - inside) / neighbours
        found -= share * betabinom.pmf(inside, good, neighbours, real - neighbours)
    return found
