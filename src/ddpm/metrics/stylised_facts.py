"""Stylised facts of series (Cont 2001): tails, memory, leverage, correlations and risk, beside those of real series.

Windows (N, L, C) overlap and come from one history: all moments are about the mean of all rows, since that of a short
window would hide the memory, and the spread is that of blocks of time.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Windows = NDArray[np.floating]
LAGS = (1, 5, 20)
RISK = 0.01
"""Level of value at risk and expected shortfall."""
BLOCKS = 8
"""Blocks of time whose spread is the unit of a deviation."""
INCREMENTS = ("log-returns", "differences")
"""Transforms whose values add up to a path, which has a drawdown."""


def facts(windows: Windows, transform: str) -> dict[str, float]:
    """Compute the facts of windows (N, L, C), means over the columns.

    kurtosis: excess, 0 for a Gaussian. acf_LAG, abs_acf_LAG: autocorrelation of values and of their magnitudes.
    leverage: correlation of a value with the magnitude of the next. cross_correlation: mean over pairs of columns.
    value_at_risk: quantile RISK; expected_shortfall: mean below it. drawdown: largest fall of the path of a window,
    mean over windows. Omitted: lags beyond the window, what needs two columns or increments.
    """
    values = np.asarray(windows, np.float64)
    values = values - values.mean(axis=(0, 1))
    magnitudes = np.abs(values) - np.abs(values).mean(axis=(0, 1))
    rows = np.asarray(windows, np.float64).reshape(-1, windows.shape[2])
    variance = values.var(axis=(0, 1))
    found = {"kurtosis": _mean((values**4).mean(axis=(0, 1)) / variance**2 - 3)}
    for name, each in (("acf", values), ("abs_acf", magnitudes)):
        lags = [lag for lag in LAGS if lag < windows.shape[1]]
        found |= {f"{name}_{lag}": _mean(_correlation(each[:, :-lag], each[:, lag:])) for lag in lags}
    found["leverage"] = _mean(_correlation(values[:, :-1], magnitudes[:, 1:]))
    if windows.shape[2] > 1:
        pairs = np.atleast_2d(np.corrcoef(rows, rowvar=False))[np.triu_indices(windows.shape[2], 1)]
        found["cross_correlation"] = _mean(pairs)
    risk = np.quantile(rows, RISK, axis=0)
    found["value_at_risk"] = _mean(risk)
    found["expected_shortfall"] = _mean(np.array([c[c <= q].mean() for c, q in zip(rows.T, risk, strict=True)]))
    if transform in INCREMENTS:
        found["drawdown"] = _mean(_drawdowns(windows))
    return found


def compare(
    generated: Windows, real: Windows, heldout: Windows, noisy: Mapping[str, Windows], transform: str
) -> dict[str, Any]:
    """Compute the facts of generated windows beside those of real ones.

    real: the training windows, in time; heldout: others; noisy: sets that no model should be as bad as. Returns `sets`
    (facts by set), `spread` (deviation over blocks of real windows), `deviation` (of generated from real, in spreads),
    `largest_deviation` of each set, and `coverage`: Kupiec's test of the generated value at risk on held-out rows.
    """
    sets = {"generated": generated, "real": real, "heldout": heldout, **noisy}
    found = {name: facts(each, transform) for name, each in sets.items()}
    size = -(-len(real) // BLOCKS)
    blocks = [facts(real[start : start + size], transform) for start in range(0, len(real), size)]
    spread = {name: float(np.std([block[name] for block in blocks], ddof=1)) for name in found["real"]}
    deviations = {name: _deviations(each, found["real"], spread) for name, each in found.items()}
    return {
        "sets": found,
        "spread": spread,
        "deviation": deviations["generated"],
        "largest_deviation": {name: max(each.values()) for name, each in deviations.items() if name != "real"},
        "coverage": coverage(heldout, found["generated"]["value_at_risk"]),
    }


def autocorrelation(windows: Windows, lags: int, *, magnitudes: bool) -> NDArray[np.float64]:
    """Autocorrelation (lags,) of values, or of their magnitudes, at lags 1 to `lags`, mean over the columns."""
    values = np.asarray(windows, np.float64)
    values = values - values.mean(axis=(0, 1))
    if magnitudes:
        values = np.abs(values) - np.abs(values).mean(axis=(0, 1))
    return np.array([_mean(_correlation(values[:, :-lag], values[:, lag:])) for lag in range(1, lags + 1)])


def coverage(heldout: Windows, value_at_risk: float) -> dict[str, float]:
    """Kupiec's test (1995) that held-out values fall below a value at risk with probability RISK.

    The likelihood ratio is chi-squared with one degree of freedom for independent values. Windows overlap, so each
    value counts once, and equal values of one column are taken for one.
    """
    from scipy.stats import chi2

    values = np.unique(np.asarray(heldout))
    count, exceeded = len(values), int((values < value_at_risk).sum())
    rate = exceeded / count
    ratio = 2 * (_log_likelihood(exceeded, count, rate) - _log_likelihood(exceeded, count, RISK))
    return {"rate": rate, "expected": RISK, "count": count, "p_value": float(chi2.sf(max(0.0, ratio), 1))}


def _log_likelihood(exceeded: float, count: int, probability: float) -> float:
    """Of `exceeded` of `count` Bernoulli trials; 0 log 0 is 0."""
    parts = ((exceeded, probability), (count - exceeded, 1 - probability))
    return sum(number * math.log(share) for number, share in parts if number > 0)


def _deviations(found: Mapping[str, float], real: Mapping[str, float], spread: Mapping[str, float]) -> dict[str, float]:
    return {name: abs(found[name] - value) / spread[name] for name, value in real.items() if spread[name] > 0}


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation (C,) of pairs (N, L, C), without subtracting their means again."""
    product = (first * second).mean(axis=(0, 1))
    return np.asarray(product / np.sqrt((first**2).mean(axis=(0, 1)) * (second**2).mean(axis=(0, 1))))


def _drawdowns(windows: Windows) -> NDArray[np.float64]:
    """Largest fall (N, C) of the path of each window below its maximum so far, which starts at 0."""
    path = np.cumsum(np.asarray(windows, np.float64), axis=1)
    peak = np.maximum.accumulate(path, axis=1).clip(min=0)
    found: NDArray[np.float64] = (peak - path).max(axis=1)
    return found


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values))
