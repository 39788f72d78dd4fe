"""One table of dates and columns of numbers, from a CSV or Parquet file."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.data.errors import DataError, named
from ddpm.data.series import text

ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
TEXTS = (".txt", ".md")
PARQUET, GZIP = b"PAR1", b"\x1f\x8b"
MISSING = frozenset({"", ".", "-", "na", "n/a", "nan", "null", "none"})
"""Cells without a value, in small letters; a full stop is that of FRED."""
LARGEST_BYTES = 2**31
ORDERED = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(.*)")


@dataclass(frozen=True)
class Form:
    """How a CSV file writes dates (`iso`, `day-first`, `month-first`) and decimals (`point`, `comma`)."""

    dates: str = "iso"
    decimal: str = "point"


PLAIN = Form()


@dataclass(frozen=True)
class Table:
    """Rows in the order of the file. dates: datetime64[s] (T,), UTC; values: float64 (T, C), NaN where missing.

    texts: names of columns that are not numbers, which are not among `columns`, with an example of each.
    """

    name: str
    dates: NDArray[np.datetime64]
    values: NDArray[np.float64]
    columns: tuple[str, ...]
    texts: dict[str, str]

    def of_columns(self, chosen: Sequence[str]) -> "Table":
        """Select columns; all where none is chosen. Raises DataError for one that is text, or that there is not."""
        if not chosen:
            if self.texts:
                name, cell = next(iter(self.texts.items()))
                raise DataError(
                    f"{self.name}: column {name!r} is not of numbers (it has {cell!r}). Name the columns to use in "
                    f"prepare.columns; those of numbers are {named(self.columns)}. Numbers with a decimal comma need "
                    "prepare.decimal: comma."
                )
            return self
        if missing := [name for name in chosen if name not in self.columns]:
            why = "is not of numbers" if missing[0] in self.texts else "does not exist"
            raise DataError(
                f"{self.name}: column {missing[0]!r} of prepare.columns {why}; it has {named(self.columns)}."
            )
        index = [self.columns.index(name) for name in chosen]
        return replace(self, values=self.values[:, index], columns=tuple(chosen), texts={})


def locate(location: Path) -> Path | None:
    """Return the table at a location, a file or a folder with a table and no other data; None if it is none.

    Texts (ATTRIBUTION.txt, README.md) do not count.
    """
    if location.is_dir():
        every = [path for path in location.rglob("*") if path.is_file() and not path.name.startswith(".")]
        files = [path for path in every if path.suffix.lower() not in TEXTS]
        return files[0] if len(files) == 1 and files[0].name.lower().endswith(ENDINGS) else None
    if not location.is_file():
        return None
    if location.name.lower().endswith(ENDINGS):
        return location
    with location.open("rb") as file:  # what DVC imports as `data` has no ending
        start = file.read(4096)
    readable = not location.suffix and start and b"\0" not in start and b"," in start + start.replace(b";", b",")
    return location if start.startswith(PARQUET) or readable else None


def read(path: Path, form: Form = PLAIN) -> Table:
    """Read a table; the first column, or the one that is named so, has the dates.

    Raises DataError for anything else than dates and numbers, with the row.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes; tables are read whole, up to {LARGEST_BYTES:,}.")
    content = path.read_bytes()
    if content.startswith(GZIP):
        content = _unpacked(content, path.name)
    if content.startswith(PARQUET):
        return _of_parquet(content, path.name)
    header, body = text.rows(content, path.name)
    cells = dict(zip(header, zip(*body, strict=True), strict=True))
    dates = _dates(cells.pop(_date_column(header)), path.name, form.dates)
    numbers, texts = {}, {}
    for name, column in cells.items():
        parsed = _numbers(column, form.decimal)
        if isinstance(parsed, str):
            texts[name] = parsed
        else:
            numbers[name] = parsed
    return _table(path.name, dates, numbers, texts)


def _unpacked(content: bytes, name: str) -> bytes:
    """Unpack gzip. Raises DataError for a damaged file, or one that is too large."""
    try:
        found = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is a damaged gzip file ({error}). Fetch it again.") from error
    if len(found) > LARGEST_BYTES:
        raise DataError(f"{name} unpacks to more than {LARGEST_BYTES:,} bytes; tables are read whole, up to that.")
    return found


def _of_parquet(content: bytes, name: str) -> Table:
    import pyarrow.parquet  # large; only where a file needs it
    from pyarrow import types

    found = pyarrow.parquet.read_table(io.BytesIO(content))
    stamps = [field.name for field in found.schema if types.is_timestamp(field.type) or types.is_date(field.type)]
    column = stamps[0] if stamps else _date_column(found.column_names)
    cells = found[column].to_pylist()
    dates = _dates(["" if cell is None else cell.isoformat() if stamps else str(cell) for cell in cells], name)
    numbers, texts = {}, {}
    for field in found.schema:
        if field.name == column:
            continue
        if types.is_integer(field.type) or types.is_floating(field.type) or types.is_decimal(field.type):
            values = [np.nan if cell is None else float(cell) for cell in found[field.name].to_pylist()]
            numbers[field.name] = np.array(values, np.float64)
        else:
            texts[field.name] = str(next((cell for cell in found[field.name].to_pylist() if cell is not None), ""))
    return _table(name, dates, numbers, texts)


def _table(
    name: str, dates: NDArray[np.datetime64], numbers: dict[str, NDArray[np.float64]], texts: dict[str, str]
) -> Table:
    if not numbers:
        raise DataError(
            f"{name} has no column of numbers beside its dates. Numbers with a decimal comma need prepare.decimal: "
            "comma; thousands separators are not read."
        )
    return Table(name, dates, np.stack(list(numbers.values()), axis=1), tuple(numbers), texts)


def _date_column(header: Sequence[str]) -> str:
    """The column called date, time or alike; else the first."""
    known = ("date", "datetime", "timestamp", "time", "observation_date", "day")
    return next((name for name in header if name.lower() in known), header[0])


def _dates(cells: Sequence[str], name: str, order: str = "iso") -> NDArray[np.datetime64]:
    """Parse ISO 8601 dates; those with a time zone become UTC. Raises DataError with the first row that is not one."""
    found, zoned = [], set()
    for number, cell in enumerate(cells, start=2):
        try:
            moment = datetime.fromisoformat(_iso(cell.strip(), order))
        except ValueError as error:
            raise DataError(
                f"{name}, row {number}: {cell!r} is not a date of the form {order} (prepare.dates). Write dates such "
                "as 2024-12-31 or 2024-12-31T23:59:00, or choose day-first for 31.12.2024, month-first for 12/31/2024."
            ) from error
        zoned.add(moment.tzinfo is not None)
        found.append(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment)
    if len(zoned) > 1:
        raise DataError(f"{name} has dates with a time zone and without. Give all of them one, or none.")
    return np.array(found, "datetime64[s]")


def _iso(cell: str, order: str) -> str:
    """A date in ISO 8601. Raises ValueError for one of another form."""
    if order == "iso":
        return cell
    found = ORDERED.fullmatch(cell)
    if found is None:
        raise ValueError(cell)
    first, second, year, time = found.groups()
    day, month = (first, second) if order == "day-first" else (second, first)
    return f"{year}-{int(month):02}-{int(day):02}{time}"


def _numbers(column: Sequence[str], decimal: str) -> NDArray[np.float64] | str:
    """Parse a column; returns the first cell that is not a number instead, if there is one."""
    found = np.empty(len(column))
    for index, value in enumerate(_parsed(column, decimal)):
        if value is None:
            return column[index]
        found[index] = value
    return found


def _parsed(column: Sequence[str], decimal: str) -> Iterator[float | None]:
    for cell in column:
        stripped = cell.strip()
        if stripped.lower() in MISSING:
            yield float("nan")
            continue
        if decimal == "comma":  # a full stop would be doubtful: 1.234 may mean 1234
            stripped = stripped.replace(".", "_").replace(",", ".")
        try:
            yield None if "_" in stripped else float(stripped)
        except ValueError:
            yield None


def infinite(values: NDArray[np.float64]) -> NDArray[Any]:
    """Rows (N,) with an infinite value."""
    rows: NDArray[Any] = np.flatnonzero(np.isinf(values).any(axis=1))
    return rows
