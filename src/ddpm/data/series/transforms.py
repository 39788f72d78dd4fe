"""Transforms of a table's values before windows are cut: returns, differences, or none."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ddpm.data.errors import DataError
from ddpm.data.series.table import Table

Values = NDArray[np.float64]
LOG_RETURNS, DIFFERENCES, NONE = "log-returns", "differences", "none"


def log_returns(values: Values) -> Values:
    """`log(v[t] / v[t - 1])`, (T - 1, C)."""
    found: Values = np.diff(np.log(values), axis=0)
    return found


def differences(values: Values) -> Values:
    """`v[t] - v[t - 1]`, (T - 1, C)."""
    found: Values = np.diff(values, axis=0)
    return found


def none(values: Values) -> Values:
    """The values as they are."""
    return values


TRANSFORMS: dict[str, Callable[[Values], Values]] = {LOG_RETURNS: log_returns, DIFFERENCES: differences, NONE: none}


def transformed(table: Table, name: str) -> tuple[NDArray[np.datetime64], Values]:
    """Apply a row of TRANSFORMS: dates (T',) and values (T', C), a row of which belongs to the date at its end.

    Raises DataError for returns of values that are not positive, and for a column that is constant then.
    """
    if name == LOG_RETURNS and (table.values <= 0).any():
        row, column = np.argwhere(table.values <= 0)[0]
        raise DataError(
            f"{table.name}: {table.columns[column]!r} is {table.values[row, column]:g} on {table.dates[row]}, and "
            "log-returns need positive values. Use prepare.transform: differences, or leave these rows out."
        )
    found = TRANSFORMS[name](table.values)
    still = [column for column, spread in zip(table.columns, np.ptp(found, axis=0), strict=True) if spread == 0]
    if still:
        raise DataError(
            f"{table.name}: {name} of column {still[0]!r} never change, so there is nothing to learn. Leave it out by "
            "prepare.columns."
        )
    return table.dates[len(table.dates) - len(found) :], found
