"""Prices for tests: returns whose volatility persists (GARCH), with heavy tails, as a file of dates and columns."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def returns(rows: int, columns: int = 3, seed: int = 0) -> NDArray[np.float64]:
    """Draw returns (rows, columns) of GARCH(1, 1), alpha 0.1 and beta 0.87, with Student's t of 5 degrees."""
    random = np.random.default_rng(seed)
    shocks = random.standard_t(5, (rows, columns)) / np.sqrt(5 / 3)
    found, variance = np.empty((rows, columns)), np.ones(columns)
    for row in range(rows):
        found[row] = shocks[row] * np.sqrt(variance)
        variance = 0.03 + 0.1 * found[row] ** 2 + 0.87 * variance
    return 0.01 * found


def write(path: Path, rows: int, columns: int = 3, seed: int = 0, start: str = "2000-01-03") -> Path:
    """Write the prices of `returns`, on business days from `start`."""
    prices = 100 * np.exp(np.cumsum(returns(rows, columns, seed), axis=0))
    days = np.busday_offset(np.datetime64(start), np.arange(rows), roll="forward")
    lines = [f"{day},{','.join(f'{price:.6g}' for price in row)}" for day, row in zip(days, prices, strict=True)]
    names = ",".join(f"share{number}" for number in range(columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"date,{names}", *lines, ""]), encoding="utf-8")
    return path
