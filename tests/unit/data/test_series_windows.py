"""Windows of series and their split: no held-out row is seen in training, nor one within a window's length of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm.data import prepared, profile
from ddpm.data.errors import DataError
from ddpm.data.series import prepare as series
from ddpm.data.series.table import Table
from ddpm.data.series.transforms import transformed
from ddpm.data.series.windows import BLOCK, cut, held_blocks, split

CHOICES: dict[str, Any] = {
    "columns": (), "dates": "iso", "decimal": "point", "missing": "refuse", "duplicates": "refuse", "layout": "joint",
    "transform": "log-returns", "window": 16, "stride": 1, "holdout": 0.25,
}  # fmt: skip


@pytest.mark.parametrize(("window", "stride", "share"), [(8, 1, 0.2), (16, 3, 0.3), (32, 32, 0.5)])
def test_training_stays_a_window_away_from_held_out_rows(window: int, stride: int, share: float) -> None:
    found = split(5000, np.array([], int), window=window, stride=stride, share=share)
    held = np.zeros(5000, bool)
    for start in found.starts[found.heldout]:
        held[start : start + window] = True
    for start in found.starts[~found.heldout]:
        assert not held[max(0, start - window) : start + 2 * window].any()
    assert (np.diff(found.starts) > 0).all()
    assert len(found.starts) + found.dropped == len(range(0, 5000 - window + 1, stride))
    every_block = {int(start) // (BLOCK * window) for start in found.starts[found.heldout]}
    assert len(every_block) / found.blocks == pytest.approx(share, abs=1 / found.blocks + 0.05)


def test_later_rows_change_no_earlier_block() -> None:
    assert (held_blocks(40, 0.2)[:25] == held_blocks(25, 0.2)).all()
    spread = np.flatnonzero(held_blocks(100, 0.2))
    assert (len(spread), np.diff(spread).max()) == (20, 8)


def test_no_window_spans_a_gap() -> None:
    found = split(400, np.array([100, 101]), window=10, stride=1, share=0.2)
    inside = [start for start in found.starts.tolist() if start < 101 and start + 10 > 100]
    assert not inside
    assert found.starts.max() == 390


def test_windows_are_views_of_consecutive_rows() -> None:
    values = np.arange(20.0).reshape(10, 2)
    found = cut(values, np.array([0, 7]), 3)
    assert found.tolist() == [[[0, 1], [2, 3], [4, 5]], [[14, 15], [16, 17], [18, 19]]]


def table(values: np.ndarray) -> Table:
    dates = np.datetime64("2020-01-01", "s") + np.arange(len(values)) * np.timedelta64(1, "D")
    return Table("t", dates, values, tuple("abc"[: values.shape[1]]), {})


def test_a_return_belongs_to_the_date_at_its_end() -> None:
    dates, values = transformed(table(np.array([[1.0], [2.0], [1.0]])), "log-returns")
    np.testing.assert_allclose(values, [[np.log(2)], [-np.log(2)]])
    assert [str(date)[:10] for date in dates] == ["2020-01-02", "2020-01-03"]
    dates, values = transformed(table(np.array([[1.0], [-2.0], [0.5]])), "differences")
    assert values.tolist() == [[-3.0], [2.5]]
    dates, values = transformed(table(np.array([[1.0], [-2.0]])), "none")
    assert (len(dates), values.tolist()) == (2, [[1.0], [-2.0]])


def test_what_cannot_be_transformed() -> None:
    with pytest.raises(DataError, match=r"'a' is -1 on 2020-01-02.* need positive values"):
        transformed(table(np.array([[1.0], [-1.0]])), "log-returns")
    with pytest.raises(DataError, match="differences of column 'b' never change"):
        transformed(table(np.array([[1.0, 0], [3, 1], [4, 2]])), "differences")


def prices(folder: Path, rows: int, columns: int = 2, gap: int = 0, at: int = 0) -> Path:
    values = 100 * np.exp(np.cumsum(np.random.default_rng(0).standard_t(4, (rows, columns)) * [0.01, 0.02], axis=0))
    dates = np.datetime64("2000-01-01") + np.arange(rows) + np.where(np.arange(rows) >= at, gap, 0)
    body = "".join(f"{date},{','.join(map(repr, row))}\n" for date, row in zip(dates, values.tolist(), strict=True))
    path = folder / "prices.csv"
    path.write_text("date,a,b\n" + body, encoding="utf-8")
    return path


def test_prepared_windows_are_those_of_the_file(tmp_path: Path) -> None:
    path = prices(tmp_path, 1500)
    found = series.prepare(path, tmp_path / "out", **CHOICES)
    data = prepared.load(tmp_path / "out", verify=True)
    returns = np.diff(np.log(np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2))), axis=0)
    lines = (tmp_path / "out/windows.csv").read_text().splitlines()[1:]
    assert len(data.images) == len(lines) == found["count"] == found["train"] + found["heldout"]
    for index in (0, 100, len(lines) - 1):
        _, first, last, held = lines[index].split(",")
        start = int((np.datetime64(first) - np.datetime64("2000-01-02")).astype(int))
        np.testing.assert_allclose(data.images[index], returns[start : start + 16], rtol=1e-6)
        assert (np.datetime64(last) - np.datetime64(first)).astype(int) == 15
        assert bool(int(held)) == data.heldout[index]
    assert data.series is not None
    assert (data.series.columns, data.series.transform, data.kind) == (("a", "b"), "log-returns", "series")
    rows = np.unique(data.images[~data.heldout].reshape(-1, 2), axis=0)
    np.testing.assert_allclose(data.series.std, rows.std(axis=0), rtol=1e-4)
    assert "every 1 day" in "\n".join(series.lines(found))
    again = series.prepare(path, tmp_path / "again", **CHOICES)
    assert again["sha256"] == found["sha256"]


def test_columns_one_by_one_share_their_split(tmp_path: Path) -> None:
    path = prices(tmp_path, 1500)
    series.prepare(path, tmp_path / "joint", **CHOICES)
    series.prepare(path, tmp_path / "separate", **CHOICES | {"layout": "separate"})
    joint, separate = (prepared.load(tmp_path / name) for name in ("joint", "separate"))
    assert separate.images.shape == (2 * len(joint.images), 16, 1)
    np.testing.assert_array_equal(separate.images.reshape(-1, 2, 16)[:, 1], joint.images[:, :, 1])
    np.testing.assert_array_equal(separate.heldout, np.repeat(joint.heldout, 2))


@pytest.mark.parametrize("at", [650, 750, 850])
def test_the_change_across_a_gap_is_in_no_window(at: int, tmp_path: Path) -> None:
    path = prices(tmp_path, 1500, gap=100, at=at)
    series.prepare(path, tmp_path / "out", **CHOICES)
    data = prepared.load(tmp_path / "out")
    logs = np.log(np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2)))
    across = np.float32(logs[at] - logs[at - 1])
    assert not np.isclose(data.images, across, rtol=1e-6).all(axis=2).any()


def test_later_data_are_compared_by_level_and_volatility(tmp_path: Path) -> None:
    series.prepare(prices(tmp_path, 1500), tmp_path / "out", **CHOICES)
    found, data = profile.load(tmp_path / "out"), prepared.load(tmp_path / "out")
    assert (found.kind, found.data_sha256) == ("series", data.sha256)
    np.testing.assert_allclose(found.values("volatility"), data.images.std(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found.values("level"), data.images.mean(axis=(1, 2)), rtol=1e-3, atol=1e-6)
    assert len(data.train_digests()) == len(data.train_indices)


def test_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"99 rows give .* windows for training .* Give more rows"):
        series.prepare(prices(tmp_path, 100), tmp_path / "out", **CHOICES)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_images_is_not_a_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not one table .*ddpm data use FILE.csv"):
        series.prepare(tmp_path, tmp_path / "out", **CHOICES)


def test_older_prepared_images_have_no_kind(tmp_path: Path) -> None:
    series.prepare(prices(tmp_path, 1500), tmp_path / "out", **CHOICES)
    head = json.loads((tmp_path / "out/manifest.json").read_text())
    del head["kind"]
    (tmp_path / "out/manifest.json").write_text(json.dumps(head))
    with pytest.raises(DataError, match="inconsistent"):
        prepared.load(tmp_path / "out")
