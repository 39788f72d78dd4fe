"""Order, duplicates and missing values of a table: each an error, or a choice that its parameter names."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ddpm.data.errors import DataError
from ddpm.data.series.table import Table, infinite

STEADY = 2.0
"""Ratio of the typical steps of two parts of a table from which their frequencies differ."""
PART = 64
GAP = 14
"""Typical steps between two rows from which there is a gap, which no window spans; holidays of markets are less."""
UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


@dataclass(frozen=True)
class Cleaned:
    """A table in order, without missing values. step: seconds, typical; gaps: rows (K,) before which there is one.

    notes: what was done.
    """

    table: Table
    step: int
    gaps: NDArray[np.int64]
    notes: tuple[str, ...]


def clean(table: Table, *, missing: str, duplicates: str) -> Cleaned:
    """Sort by date, then apply the choices. missing: refuse, drop or previous; duplicates: refuse, first or last.

    Raises DataError for what the choices do not cover, for infinite values and for mixed frequencies.
    """
    notes = []
    if len(rows := infinite(table.values)):
        raise DataError(f"{table.name}: {_at(table, rows)} infinite. Remove these rows or repair their values.")
    order = np.argsort(table.dates, kind="stable")
    if (order[1:] < order[:-1]).any():
        table = _rows(table, order)
        notes.append("rows were sorted by date")
    table, note = _deduplicated(table, duplicates)
    notes += note
    table, note = _filled(table, missing)
    notes += note
    if len(table.dates) < 2:
        raise DataError(f"{table.name} has {len(table.dates)} usable rows. Give more.")
    steps = np.diff(table.dates).astype(np.int64)
    _require_one_frequency(table, steps)
    step = int(np.median(steps))
    return Cleaned(table, step, np.flatnonzero(steps > GAP * step) + 1, tuple(notes))


def _deduplicated(table: Table, choice: str) -> tuple[Table, list[str]]:
    same = table.dates[1:] == table.dates[:-1]
    if not same.any():
        return table, []
    again = np.flatnonzero(same) + 1
    if choice == "refuse":
        raise DataError(
            f"{table.name}: {_at(table, again)} of a date that another row has too. Remove them, or choose with "
            "prepare.duplicates: first or last."
        )
    drop = again if choice == "first" else again - 1
    kept = _rows(table, np.setdiff1d(np.arange(len(table.dates)), drop))
    return kept, [f"{len(again):,} rows with the date of another were left out (prepare.duplicates: {choice})"]


def _filled(table: Table, choice: str) -> tuple[Table, list[str]]:
    absent = np.isnan(table.values)
    rows = np.flatnonzero(absent.any(axis=1))
    if not len(rows):
        return table, []
    if choice == "refuse":
        raise DataError(
            f"{table.name}: {_at(table, rows)} without a value. Repair them, or choose with prepare.missing: drop "
            "(leave the row out) or previous (repeat the value before)."
        )
    if choice == "drop":
        kept = _rows(table, np.flatnonzero(~absent.any(axis=1)))
        return kept, [f"{len(rows):,} rows with a missing value were left out (prepare.missing: drop)"]
    first = int((~absent).argmax(axis=0).max()) if (~absent).any(axis=0).all() else len(table.values)
    last = np.maximum.accumulate(np.where(absent, 0, np.arange(len(absent))[:, None]), axis=0)
    values = np.take_along_axis(table.values, last, axis=0)
    kept = _rows(replace(table, values=values), np.arange(first, len(values)))
    done = f"{int(absent[first:].sum()):,} missing values repeat the one before (prepare.missing: previous)"
    return kept, [done] + ([f"{first:,} rows before the first complete one were left out"] if first else [])


def _require_one_frequency(table: Table, steps: NDArray[np.int64]) -> None:
    """Raise DataError if the typical step of a part differs from that of another."""
    starts = range(0, max(1, len(steps) - PART + 1), PART)
    typical = np.array([np.median(steps[start : start + PART]) for start in starts])
    low, high = typical.min(), typical.max()
    if high >= STEADY * low:
        where = [day(table.dates[starts[int(each)]]) for each in (typical.argmin(), typical.argmax())]
        raise DataError(
            f"{table.name} mixes frequencies: rows are {every(int(low))} apart from {where[0]}, and {every(int(high))} "
            f"from {where[1]}. Give one frequency in a file."
        )


def every(step: int) -> str:
    """A step in seconds as words: `1 day`, `15 minutes`."""
    name, size = next((unit for unit in UNITS if step % unit[1] == 0), UNITS[-1])
    return f"{step // size:,} {name}{'' if step == size else 's'}"


def day(date: np.datetime64) -> str:
    """A date as text, without a time of midnight."""
    return str(date).removesuffix("T00:00:00")


def _rows(table: Table, chosen: NDArray[np.int64]) -> Table:
    return replace(table, dates=table.dates[chosen], values=table.values[chosen])


def _at(table: Table, rows: NDArray[np.int64]) -> str:
    """Rows by their dates, as the start of a sentence: `3 rows (2020-01-01, ...) are`."""
    dates = ", ".join(day(table.dates[row]) for row in rows[:3])
    more = ", ..." if len(rows) > 3 else ""
    return f"{len(rows):,} row{'' if len(rows) == 1 else 's'} ({dates}{more}) {'is' if len(rows) == 1 else 'are'}"
