"""Paired comparison of two models: interval and permutation test, from scores of the same subsets or seed blocks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

FEWEST_PAIRS = 6  # with fewer, no arrangement of signs is rarer than 5 %
RESAMPLES = 9999


@dataclass(frozen=True)
class Comparison:
    """The mean difference, first minus second, with its interval of `confidence`, and the p value of "no difference".

    valid: whether the numbers are reliable; `validity` says why not, or what they rest on.
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
    """Compare two models by a score's values (n,), pair by pair: same seeds, same real images, same conditions.

    The interval is Student's, for the mean of the differences. The test is a permutation test that flips the signs of
    the differences (all arrangements up to 9,999, else as many drawn by `seed`): exact when each difference is as
    likely to be above as below zero for equal models. Both see the noise of drawing images, not that of training:
    the same recipe with another seed differs more. Raises ValueError: other shapes, fewer than two pairs, not finite.
    """
    from scipy import stats

    ours, theirs = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if ours.shape != theirs.shape or ours.ndim != 1 or len(ours) < 2:
        raise ValueError(
            f"pairs of values are compared, two pairs at least; these have shapes {ours.shape} and {theirs.shape}"
        )
    gaps = ours - theirs
    if not np.isfinite(gaps).all():
        raise ValueError("the values hold NaN or infinity")
    centre, error = float(gaps.mean()), float(stats.sem(gaps))
    reach = float(stats.t.ppf((1 + confidence) / 2, len(gaps) - 1)) * error
    test = stats.permutation_test(
        (gaps,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, rng=np.random.default_rng(seed)
    )
    valid = len(gaps) >= FEWEST_PAIRS
    return Comparison(
        centre,
        confidence,
        centre - reach,
        centre + reach,
        float(test.pvalue),
        len(gaps),
        valid,
        _validity(len(gaps), valid),
    )


def one_sided_reach(first: ArrayLike, second: ArrayLike, confidence: float) -> float:
    """How far the mean of the paired differences lies from its expectation on one side, at most, with `confidence`.

    Student's quantile times the standard error (deviation divided by n - 1, over the root of n) of n pairs, n above 1.
    """
    from scipy import stats

    gaps = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return float(stats.t.ppf(confidence, len(gaps) - 1) * stats.sem(gaps))


def _validity(pairs: int, valid: bool) -> str:
    if not valid:
        return f"{pairs} pairs are too few: no p value below {2 / 2**pairs:.3g} is possible; {FEWEST_PAIRS} are needed"
    arrangements = "all" if 2**pairs <= RESAMPLES else f"{RESAMPLES:,} random"
    return (
        f"{pairs} pairs, {arrangements} arrangements of signs; holds for these two trained models and for images drawn "
        "anew, not for trainings with another seed"
    )
