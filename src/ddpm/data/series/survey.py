"""Survey of a table before parameters are chosen: what it holds, and the choices that it needs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddpm.data.errors import DataError, named
from ddpm.data.series import table as tables
from ddpm.data.series.clean import Cleaned, clean, day, every
from ddpm.data.series.table import Form, Table

FORMS = [Form(dates, decimal) for decimal in ("point", "comma") for dates in ("iso", "day-first", "month-first")]


@dataclass(frozen=True)
class SeriesSurvey:
    """A table with the choices under which it can be read. columns: to name; empty if all are numbers.

    missing, duplicates: values of those parameters; form: of dates and decimals.
    """

    cleaned: Cleaned
    form: Form
    columns: tuple[str, ...]
    missing: str
    duplicates: str
    skipped: tuple[str, ...]

    @property
    def positive(self) -> bool:
        """True if all values are positive, as prices are."""
        return bool((self.cleaned.table.values > 0).all())

    @property
    def rows(self) -> int:
        """Usable rows."""
        return len(self.cleaned.table.dates)


def survey(location: Path) -> SeriesSurvey:
    """Read a table in the one form that fits, and find the choices that it needs. Raises DataError if none does."""
    path = tables.locate(location)
    if path is None:
        raise DataError(f"{location} is not one table of dates and columns (CSV or Parquet).")
    form, table = _in_form(path)
    chosen = table.columns if table.texts else ()
    table = table.of_columns(chosen)
    equal = bool((np.diff(np.sort(table.dates)).astype(np.int64) == 0).any())
    missing = "drop" if np.isnan(table.values).any() else "refuse"
    duplicates = "last" if equal else "refuse"
    cleaned = clean(table, missing=missing, duplicates=duplicates)
    return SeriesSurvey(cleaned, form, tuple(chosen), missing, duplicates, tuple(_skipped(path, form)))


def _in_form(path: Path) -> tuple[Form, Table]:
    """The form with the most columns of numbers; raises DataError if none fits, or days and months may be either."""
    found: list[tuple[Form, Table]] = []
    errors = []
    for form in FORMS:
        try:
            found.append((form, tables.read(path, form)))
        except DataError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    most = max(len(table.columns) for _, table in found)
    best = [each for each in found if len(each[1].columns) == most and each[0].decimal == found[0][0].decimal]
    best = best or [each for each in found if len(each[1].columns) == most]
    if len({form.dates for form, _ in best}) > 1:
        best.sort(key=lambda each: _disorder(each[1]))
        if _disorder(best[0][1]) == _disorder(best[1][1]):
            raise DataError(
                f"{path} has dates such as {best[0][1].dates[0]} whose days and months cannot be told apart. Write "
                "them as 2024-12-31."
            )
    return best[0]


def _disorder(table: Table) -> int:
    """Number of rows that are earlier than the one before: the wrong order of day and month mixes them up."""
    return int((np.diff(table.dates).astype(np.int64) < 0).sum())


def _skipped(path: Path, form: Form) -> list[str]:
    return list(tables.read(path, form).texts)


def lines(found: SeriesSurvey) -> list[str]:
    """Format the survey as lines."""
    table = found.cleaned.table
    positive = "all positive, as prices are" if found.positive else "some not positive"
    spans = [f"{day(table.dates[gap - 1])} to {day(table.dates[gap])}" for gap in found.cleaned.gaps]
    return [
        f"series: {len(table.columns)} columns ({named(table.columns, 8)}), {positive}",
        f"rows: {found.rows:,}, {day(table.dates[0])} to {day(table.dates[-1])}, every {every(found.cleaned.step)}",
        f"gaps: {len(spans)}" + (f" ({named(spans, 3)})" if spans else ""),
        *(f"note: column {name} is not of numbers and is left out" for name in found.skipped),
        *(f"note: {note}" for note in found.cleaned.notes),
    ]
