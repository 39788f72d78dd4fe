"""Tables of series: what is read, and what is refused, in which words."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ddpm.data.errors import DataError
from ddpm.data.series import clean, survey, table
from ddpm.data.series.table import Form

PRICES = "date,a,b\n2024-01-01,1.5,10\n2024-01-02,2,11\n2024-01-03,2.5,12\n"


def written(folder: Path, content: str | bytes, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (PRICES, Form()),
        (PRICES.replace(",", ";"), Form()),
        (PRICES.replace(",", "\t"), Form()),
        (PRICES.replace("\n", "\r\n"), Form()),
        ("\ufeff" + PRICES, Form()),
        (PRICES.encode("utf-16"), Form()),
        (gzip.compress(PRICES.encode()), Form()),
        (PRICES.replace(",", ";").replace(".", ","), Form(decimal="comma")),
        ("date,a,b\n1/1/2024,1.5,10\n1/2/2024,2,11\n1/3/2024,2.5,12\n", Form(dates="month-first")),
        ("date,a,b\n01.01.2024,1.5,10\n02.01.2024,2,11\n03.01.2024,2.5,12\n", Form(dates="day-first")),
        ("a,Date,b\n1.5,2024-01-01,10\n2,2024-01-02,11\n2.5,2024-01-03,12\n", Form()),
        ("date,a,b\n2024-01-01T01:00+01:00,1.5,10\n2024-01-02T00:00Z,2,11\n2024-01-03T00:00Z,2.5,12\n", Form()),
    ],
)
def test_the_same_table_in_many_forms(tmp_path: Path, content: str | bytes, form: Form) -> None:
    found = table.read(written(tmp_path, content), form)
    assert found.columns == ("a", "b")
    assert found.dates.tolist() == np.array(["2024-01-01", "2024-01-02", "2024-01-03"], "datetime64[s]").tolist()
    assert found.values.tolist() == [[1.5, 10], [2, 11], [2.5, 12]]


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    days = np.array(["2024-01-01", "2024-01-02"], "datetime64[s]")
    content = pyarrow.table({"a": [1, None], "day": days, "name": ["x", "y"]})
    pyarrow.parquet.write_table(content, tmp_path / "prices.parquet")
    found = table.read(tmp_path / "prices.parquet")
    assert found.dates.tolist() == days.tolist()
    np.testing.assert_array_equal(found.values, [[1], [np.nan]])
    assert found.texts == {"name": "x"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("date,a\n2024-01-01,1\n2024-13-01,2\n", r"row 3: '2024-13-01' is not a date .*day-first"),
        ("date,a\n31.12.2024,1\n", r"'31.12.2024' is not a date"),
        ("date,a\n2024-01-01,1,2\n", "row 2: 3 cells, but the header has 2"),
        ("date,a,a\n2024-01-01,1,2\n", "column 'a' twice"),
        ("2024-01-01,1\n2024-01-02,2\n", "no header"),
        ("date,a\n", "1 lines"),
        ("date,a\n2024-01-01,x\n", "no column of numbers"),
        ("date,a\n2024-01-01,1\n2024-01-02T00:00Z,1\n", "with a time zone and without"),
        ("date,é\n2024-01-01,1\n".encode("latin1"), r"not utf-8 text \(line 1\).*iconv"),
        (b"\x1f\x8bbroken", "damaged gzip"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table.read(written(tmp_path, content))


def test_columns_of_text_need_a_choice(tmp_path: Path) -> None:
    found = table.read(written(tmp_path, "date,a,name\n2024-01-01,1,x\n2024-01-02,2,y\n"))
    with pytest.raises(DataError, match=r"'name' is not of numbers \(it has 'x'\).*prepare.columns"):
        found.of_columns(())
    assert found.of_columns(("a",)).values.tolist() == [[1], [2]]
    with pytest.raises(DataError, match=r"'b' of prepare\.columns does not exist"):
        found.of_columns(("b",))


def test_a_full_stop_among_decimal_commas_is_doubtful(tmp_path: Path) -> None:
    path = written(tmp_path, "date;a\n2024-01-01;1.234\n")
    assert table.read(path).values.tolist() == [[1.234]]
    with pytest.raises(DataError, match="no column of numbers"):
        table.read(path, Form(decimal="comma"))


def test_a_table_is_found_where_dvc_puts_it(tmp_path: Path) -> None:
    assert table.locate(written(tmp_path, PRICES, "data")) == tmp_path / "data"
    assert table.locate(tmp_path / "missing") is None
    assert table.locate(written(tmp_path, b"PK\x03\x04\0\0,", "archive")) is None
    folder = tmp_path / "folder"
    folder.mkdir()
    assert table.locate(folder) is None
    assert table.locate(written(folder, PRICES)) == folder / "prices.csv"
    written(folder, "Public domain.", "ATTRIBUTION.txt")
    assert table.locate(folder) == folder / "prices.csv"
    written(folder, b"", "other.png")
    assert table.locate(folder) is None


def cleaned(folder: Path, rows: str, **choices: str) -> clean.Cleaned:
    found = table.read(written(folder, "date,a,b\n" + rows.replace(" ", "\n")))
    return clean.clean(found, **({"missing": "refuse", "duplicates": "refuse"} | choices))


HOLES = "2024-01-01,,1 2024-01-02,2,2 2024-01-03,.,3 2024-01-04,4,NA 2024-01-05,5,5"


def test_missing_values_are_an_error_or_a_choice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 rows \(2024-01-01, 2024-01-03, 2024-01-04\) are without a value"):
        cleaned(tmp_path, HOLES)
    dropped = cleaned(tmp_path, HOLES, missing="drop")
    assert dropped.table.values.tolist() == [[2, 2], [5, 5]]
    filled = cleaned(tmp_path, HOLES, missing="previous")
    assert filled.table.values.tolist() == [[2, 2], [2, 3], [4, 3], [5, 5]]
    assert filled.notes[0].startswith("2 missing values repeat the one before")


def test_equal_dates_are_an_error_or_a_choice(tmp_path: Path) -> None:
    rows = "2024-01-02,3,3 2024-01-01,1,1 2024-01-02,4,4"
    with pytest.raises(DataError, match=r"1 row \(2024-01-02\) is of a date that another row has too"):
        cleaned(tmp_path, rows)
    assert cleaned(tmp_path, rows, duplicates="first").table.values.tolist() == [[1, 1], [3, 3]]
    last = cleaned(tmp_path, rows, duplicates="last")
    assert last.table.values.tolist() == [[1, 1], [4, 4]]
    assert "rows were sorted by date" in last.notes


def test_infinity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 row \(2024-01-02\) is infinite"):
        cleaned(tmp_path, "2024-01-01,1,1 2024-01-02,inf,1")


def days(*steps: int) -> str:
    dates = np.datetime64("2024-01-01") + np.concatenate([[0], np.cumsum(steps)])
    return " ".join(f"{date},{number},1" for number, date in enumerate(dates))


def test_weekends_are_one_frequency_and_long_breaks_are_gaps(tmp_path: Path) -> None:
    week = (1, 1, 1, 1, 3)
    found = cleaned(tmp_path, days(*week * 15, 40, *week * 15))
    assert (found.step, found.gaps.tolist()) == (86_400, [76])


def test_two_frequencies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mixes frequencies: rows are 1 day apart from .* and 7 days from"):
        cleaned(tmp_path, days(*(1,) * 64, *(7,) * 64))


def test_a_survey_finds_the_form_and_the_choices(tmp_path: Path) -> None:
    rows = "".join(f"{day:02}.01.2024;{day},5;x;{'' if day == 9 else day}\n" for day in (*range(1, 31), 30))
    found = survey.survey(written(tmp_path, "date;a;name;b\n" + rows))
    assert found.form == Form("day-first", "comma")
    assert (found.columns, found.missing, found.duplicates, found.skipped) == (("a", "b"), "drop", "last", ("name",))
    assert (found.rows, found.positive) == (29, True)
    assert "rows: 29, 2024-01-01 to 2024-01-30, every 1 day" in survey.lines(found)


def test_days_and_months_that_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be told apart"):
        survey.survey(written(tmp_path, "date,a\n01.02.2024,1\n02.03.2024,2\n"))
