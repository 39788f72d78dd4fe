"""Clipped density and clipped coverage (Salvy, Talbot & Thirion 2025, arXiv 2507.01761).

Both can be read as the share of good samples: they fall linearly as samples are replaced by bad ones, because an
outlier, real or generated, counts for at most one image. With x_i the N real images, y_j the M generated ones, r_i the
distance of x_i to its k-th nearest other real image, and B(x, r) a closed ball:

- clipped density: D(y) / D(x), at most 1, where D(y) is the mean over j of min(1, #{i: y_j in B(x_i, s_i)} / k) with
  clipped radii s_i = min(r_i, median of all r), and D(x) is the same of the real images, each without its own ball.
- clipped coverage: g(C) where C is the mean over i of min(1, #{j: y_j in B(x_i, r_i)} / k). g inverts f, where f(m) is
  the expected value of C when m samples have the distribution of the real images and the others lie in no ball.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom


def clipped_density(samples: NDArray[np.floating], real: NDArray[np.integer], neighbours: int) -> float:
    """Compute clipped density from the number of clipped balls that contain each sample (M,) and real image (N,)."""
    ideal = np.minimum(real / neighbours, 1).mean()
    return float(min(1.0, np.minimum(samples / neighbours, 1).mean() / ideal))


def clipped_coverage(held: NDArray[np.floating], samples: int, neighbours: int) -> float:
    """Compute clipped coverage from the number of `samples` in the ball of each real image (N,)."""
    found = np.minimum(held / neighbours, 1).mean()
    return float(np.interp(found, expected_coverage(samples, len(held), neighbours), np.linspace(0, 1, samples + 1)))


def expected_coverage(samples: int, real: int, neighbours: int) -> NDArray[np.float64]:
    """Compute f(m) for m = 0 ... samples, (samples + 1,).

    The probability that a new image falls into the ball of x_i is the k-th smallest of N - 1 uniform variables, so it
    has a beta(k, N - k) distribution, and the number J of m images in the ball is beta-binomial:
    f(m) = E[min(J, k)] / k.
    """
    good = np.arange(samples + 1)
    found = np.ones(samples + 1)
    for inside in range(neighbours):
        share = (neighbours - inside) / neighbours
        found -= share * betabinom.pmf(inside, good, neighbours, real - neighbours)
    return found
