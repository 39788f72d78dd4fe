"""Ratios of two things that were timed in turns, with an interval: for the benches of speed."""

from collections.abc import Sequence

import numpy as np


def ratio(over: Sequence[float], under: Sequence[float]) -> tuple[float, float, float]:
    """Median of `over[i] / under[i]`, and its 95 % interval by bootstrap over the turns i."""
    ratios = np.asarray(over) / np.asarray(under)
    rows = np.random.default_rng(0).integers(0, len(ratios), (10_000, len(ratios)))
    low, high = np.quantile(np.median(ratios[rows], axis=1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def text(over: Sequence[float], under: Sequence[float]) -> str:
    """The ratio of two timings with its interval, as `1.15 [1.11-1.17]`."""
    middle, low, high = ratio(over, under)
    return f"{middle:.2f} [{low:.2f}-{high:.2f}]"
