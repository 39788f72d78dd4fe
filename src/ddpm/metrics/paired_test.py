"""Paired comparison of two models: confidence interval and permutation test, from scores of the same seed blocks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

FEWEST_PAIRS = 6  # with fewer, no p value below 5 % is possible
RESAMPLES = 9999


@dataclass(frozen=True)
class Comparison:
    """The mean difference, first minus second, with its confidence interval and the p value of "no difference".

    valid: True if there are enough pairs; validity: the reason why not, or what the numbers are based on.
    """

    difference: float
    confidence: float
    low: float
    high: float
    p_value: float
    pairs: int
    valid: bool
    validity: str


def compare(first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> Comparison:
    """Compare two models by paired values (n,) of a score: same seeds, same real images, same conditions.

    The interval is Student's t for the mean difference. The test is a sign-flip permutation test (all sign assignments
    up to 9,999, otherwise that many random ones from `seed`), exact if the differences of equal models are symmetric
    around zero. Both cover the variance of sampling images, not that of training: the same recipe with another
    training seed differs more. Raises ValueError for different shapes, fewer than two pairs, or values not finite.
    """
    from scipy import stats

    ours, theirs = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if ours.shape != theirs.shape or ours.ndim != 1 or len(ours) < 2:
        raise ValueError(
            f"a paired comparison needs two vectors of equal length, at least 2; got {ours.shape} and {theirs.shape}"
        )
    gaps = ours - theirs
    if not np.isfinite(gaps).all():
        raise ValueError("the values contain NaN or infinity")
    centre, error = float(gaps.mean()), float(stats.sem(gaps))
    margin = float(stats.t.ppf((1 + confidence) / 2, len(gaps) - 1)) * error
    test = stats.permutation_test(
        (gaps,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, rng=np.random.default_rng(seed)
    )
    valid = len(gaps) >= FEWEST_PAIRS
    return Comparison(
        centre,
        confidence,
        centre - margin,
        centre + margin,
        float(test.pvalue),
        len(gaps),
        valid,
        _validity(len(gaps), valid),
    )


def one_sided_margin(first: ArrayLike, second: ArrayLike, confidence: float) -> float:
    """Compute the one-sided margin of the mean paired difference at a confidence level.

    Student's t quantile times the standard error of the n differences, n above 1.
    """
    from scipy import stats

    gaps = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return float(stats.t.ppf(confidence, len(gaps) - 1) * stats.sem(gaps))


def _validity(pairs: int, valid: bool) -> str:
    if not valid:
        return f"{pairs} pairs are too few: no p value below {2 / 2**pairs:.3g} is possible; {FEWEST_PAIRS} are needed"
    assignments = "all" if 2**pairs <= RESAMPLES else f"{RESAMPLES:,} random"
    return (
        f"{pairs} pairs, {assignments} sign assignments; holds for new samples of these two models, not for other "
        "training seeds"
    )
