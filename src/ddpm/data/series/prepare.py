"""Preparation of a series: a table is read, checked, transformed, cut into windows, and divided by time."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common.files import fresh_folder, write_json, write_npy, write_text
from ddpm.data import profile
from ddpm.data.errors import DataError
from ddpm.data.manifest import HEAD
from ddpm.data.prepared import identity
from ddpm.data.series import table as tables
from ddpm.data.series.clean import Cleaned, clean, day, every
from ddpm.data.series.transforms import transformed
from ddpm.data.series.windows import Split, cut, split

KIND = "series"
SEPARATE = "value"
"""Name of the one channel of windows of single columns."""
SMALLEST_TRAIN, SMALLEST_HELDOUT = 258, 50
"""Windows: half of the training split must whiten 128 features, and evaluation refuses to score fewer."""


def prepare(
    location: Path,
    target: Path,
    *,
    columns: Sequence[str],
    dates: str,
    decimal: str,
    missing: str,
    duplicates: str,
    layout: str,
    transform: str,
    window: int,
    stride: int,
    holdout: float,
    min_train: int = 1,
) -> dict[str, Any]:
    """Prepare the table at `location` into the folder `target`; return its statistics.

    The parameters are those of section prepare. min_train: minimum of training windows, such as a batch. Raises
    DataError, leaving `target` unchanged.
    """
    form = tables.Form(dates, decimal)
    cleaned = read(location, form, columns=columns, missing=missing, duplicates=duplicates)
    days, values = transformed(cleaned.table, transform)
    gaps = cleaned.gaps - (len(cleaned.table.dates) - len(days))
    if transform != "none":  # the change across a gap belongs to no step of the series
        gaps = np.union1d(gaps, gaps + 1)
    found = split(len(values), gaps, window=window, stride=stride, share=holdout)
    _check_counts(found, len(values), window, holdout, max(min_train, SMALLEST_TRAIN))
    names = cleaned.table.columns
    series = [values] if layout == "joint" else [values[:, [column]] for column in range(len(names))]
    windows = np.stack([cut(each, found.starts, window) for each in series], axis=1)  # by time, then by column
    windows = windows.reshape(-1, *windows.shape[2:])
    heldout = np.repeat(found.heldout, len(series))
    rows = np.concatenate([each[_trained(len(values), found, window)] for each in series])
    labels = np.full(len(windows), -1, np.int64)
    with fresh_folder(target) as folder:
        write_npy(folder / "images.npy", windows)
        write_npy(folder / "labels.npy", labels)
        write_npy(folder / "heldout.npy", heldout)
        sha256 = identity(windows, labels, heldout)
        head = {
            "version": 2, "kind": KIND, "resolution": window, "channels": windows.shape[2], "count": len(windows),
            "classes": [], "warnings": [], "set_aside": [], "columns": list(names) if layout == "joint" else [SEPARATE],
            "mean": rows.mean(axis=0).tolist(), "std": rows.std(axis=0).tolist(), "transform": transform,
        }  # fmt: skip
        write_json(folder / HEAD, head)
        write_text(folder / "windows.csv", _listing(days, found, window, [""] if layout == "joint" else names))
        summary = _statistics(cleaned, days, found, heldout, windows, head) | {"sha256": sha256}
        write_json(folder / "statistics.json", summary)
        _profile(windows, cleaned.table.name, sha256).write(folder)
    return summary


def read(location: Path, form: tables.Form, *, columns: Sequence[str], missing: str, duplicates: str) -> Cleaned:
    """Read and clean the one table at a location. Raises DataError."""
    path = tables.locate(location)
    if path is None:
        raise DataError(
            f"{location} is not one table of dates and columns (CSV or Parquet). Choose one: `ddpm data use FILE.csv`."
        )
    found = tables.read(path, form).of_columns(columns)
    return clean(found, missing=missing, duplicates=duplicates)


def _check_counts(found: Split, rows: int, window: int, share: float, smallest: int) -> None:
    """Raise DataError if training or evaluation would have too few windows."""
    train, held = int((~found.heldout).sum()), int(found.heldout.sum())
    if train < smallest or held < SMALLEST_HELDOUT:
        raise DataError(
            f"{rows:,} rows give {train:,} windows for training and {held:,} held out (prepare.window = {window}, "
            f"prepare.holdout = {share}); {smallest:,} and {SMALLEST_HELDOUT} are needed (train.batch is the other "
            "limit of the first). Give more rows, or make prepare.window or prepare.stride smaller."
        )


def _trained(count: int, found: Split, window: int) -> NDArray[np.bool_]:
    """Mark the rows (count,) that are in a training window."""
    seen = np.zeros(count + 1, np.int64)
    np.add.at(seen, found.starts[~found.heldout], 1)
    np.add.at(seen, found.starts[~found.heldout] + window, -1)
    marked: NDArray[np.bool_] = np.cumsum(seen[:-1]) > 0
    return marked


def _listing(dates: NDArray[np.datetime64], found: Split, window: int, columns: Sequence[str]) -> str:
    """The table of windows: column ("" for all), dates of the first and last row, split."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["column", "first", "last", "heldout"])
    for start, held in zip(found.starts.tolist(), found.heldout.tolist(), strict=True):
        for column in columns:
            writer.writerow([column, day(dates[start]), day(dates[start + window - 1]), int(held)])
    return table.getvalue()


def _statistics(
    cleaned: Cleaned,
    dates: NDArray[np.datetime64],
    found: Split,
    heldout: NDArray[np.bool_],
    windows: NDArray[np.float32],
    head: dict[str, Any],
) -> dict[str, Any]:
    """Counts, period, frequency, and moments of each column."""
    train, columns = int((~heldout).sum()), len(windows) // len(found.starts)
    return {
        "kind": KIND,
        "count": len(windows),
        "train": train,
        "heldout": len(windows) - train,
        "dropped": found.dropped * columns,
        "disjoint": int(len(dates) // windows.shape[1]) * columns,
        "set_aside": 0,
        "classes": {},
        "first": day(dates[0]),
        "last": day(dates[-1]),
        "step": every(cleaned.step),
        "gaps": len(cleaned.gaps),
        "transform": head["transform"],
        "columns": {
            name: {"mean": mean, "std": std}
            for name, mean, std in zip(head["columns"], head["mean"], head["std"], strict=True)
        },
        "duplicates": {"exact": len(windows) - len({window.tobytes() for window in windows})},
        "warnings": list(cleaned.notes),
    }


def _profile(windows: NDArray[np.float32], name: str, sha256: str) -> profile.Profile:
    """The profile by which later data are compared: digest, level and volatility of each window."""
    rows = np.zeros(len(windows), profile.ROW)
    digests = b"".join(hashlib.sha256(window.tobytes()).digest()[:16] for window in windows)
    rows["pixels"] = rows["file"] = np.frombuffer(digests, "V16")
    rows["brightness"], rows["contrast"] = windows.mean(axis=(1, 2)), windows.std(axis=(1, 2))
    rows["width"], rows["height"], rows["label"] = windows.shape[1], windows.shape[2], -1
    return profile.Profile(rows, (), (name,), windows.shape[1], windows.shape[2], sha256, KIND)


def lines(found: dict[str, Any]) -> list[str]:
    """Format the statistics as lines."""
    moments = [f"{name} {each['mean']:.4g} ± {each['std']:.4g}" for name, each in found["columns"].items()]
    return [
        f"{found['count']:,} windows: {found['train']:,} for training, {found['heldout']:,} held out by blocks of "
        f"time; {found['dropped']:,} between them left out. They overlap: {found['disjoint']:,} fit side by side",
        f"{found['first']} to {found['last']}, every {found['step']}; {found['gaps']:,} gaps, which no window spans",
        f"{found['transform']} of {len(moments):,} columns: {', '.join(moments[:8])}"
        + (f" and {len(moments) - 8} more" if len(moments) > 8 else ""),
        *(f"note: {each}" for each in found["warnings"]),
    ]
