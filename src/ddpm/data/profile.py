"""The profile of a prepared set of images or series, to measure the drift of another set later and elsewhere.

It is small (about fifty bytes per image), is recorded with the model trained on the set, and depends only on images and
parameters.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common.files import read_json, read_npy, write_json, write_npy
from ddpm.data.blocks import blocks
from ddpm.data.errors import DataError
from ddpm.data.manifest import Contents

ROWS, HEAD = "profile.npy", "profile.json"
ROW = np.dtype(
    [
        ("pixels", "V16"),  # the first half of the SHA-256 of the prepared pixels: enough to tell images apart
        ("file", "V16"),  # and of the file
        ("brightness", "<f4"),  # mean grey value of the prepared image, 0 to 255; of a series, its level
        ("contrast", "<f4"),  # standard deviation of its grey values; of a series, its volatility
        ("width", "<u4"),  # of the original; of a series, its length, and then its columns
        ("height", "<u4"),
        ("mode", "u1"),  # index into `modes`
        ("label", "<i4"),  # index into `classes`, or -1
    ]
)
UNLABELLED = "(unlabelled)"
MEASURES = {
    "images": {"side": "side", "brightness": "brightness", "contrast": "contrast"},
    "series": {"level": "brightness", "volatility": "contrast"},
}
"""By kind of data: the measures of an example, and the columns that hold them; `side` is the shorter side."""


@dataclass(frozen=True)
class Profile:
    """One row (`ROW`) per image, sorted by path. data_sha256: identity of the prepared set."""

    rows: NDArray[Any]
    classes: tuple[str, ...]
    modes: tuple[str, ...]
    resolution: int
    channels: int
    data_sha256: str
    kind: str = "images"

    def class_counts(self) -> Counter[str]:
        """Count the images by class name."""
        return Counter(self.classes[label] if label >= 0 else UNLABELLED for label in self.rows["label"].tolist())

    def mode_counts(self) -> Counter[str]:
        """Count the images by the mode of their files."""
        return Counter(self.modes[mode] for mode in self.rows["mode"].tolist())

    def size_counts(self) -> Counter[str]:
        """Count the images by original size, `WIDTHxHEIGHT`."""
        return Counter(f"{row['width']}x{row['height']}" for row in self.rows)

    def values(self, name: str) -> NDArray[np.float64]:
        """Return one number per example: a measure of its kind (MEASURES)."""
        column = MEASURES[self.kind][name]
        found = np.minimum(self.rows["width"], self.rows["height"]) if column == "side" else self.rows[column]
        return found.astype(np.float64)

    def write(self, folder: Path) -> None:
        """Write both files into `folder`."""
        write_npy(folder / ROWS, self.rows)
        head = {
            "version": 1,
            "resolution": self.resolution,
            "channels": self.channels,
            "classes": list(self.classes),
            "modes": list(self.modes),
            "data_sha256": self.data_sha256,
        } | ({} if self.kind == "images" else {"kind": self.kind})
        write_json(folder / HEAD, head)


def collect(images: NDArray[np.uint8], contents: Contents, data_sha256: str) -> Profile:
    """Build the profile of images (N, H, W, C) from their records."""
    records = contents.records
    modes = sorted({record.mode for record in records})
    rows = np.zeros(len(records), ROW)
    rows["brightness"], rows["contrast"] = grey_moments(images)
    for name, key in (("pixels", "pixels_sha256"), ("file", "sha256")):
        digests = b"".join(bytes.fromhex(getattr(record, key))[:16] for record in records)
        rows[name] = np.frombuffer(digests, "V16")
    rows["width"] = [record.size[0] for record in records]
    rows["height"] = [record.size[1] for record in records]
    rows["mode"] = [modes.index(record.mode) for record in records]
    rows["label"] = contents.labels
    return Profile(rows, contents.classes, tuple(modes), images.shape[1], images.shape[3], data_sha256)


def grey_moments(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute mean and standard deviation (N,) of each image, from integer sums: the same on every machine."""
    totals, squares = np.zeros(len(images), np.int64), np.zeros(len(images), np.int64)
    for start, block in blocks(images):
        values = block.reshape(len(block), -1).astype(np.int64)
        totals[start : start + len(block)] = values.sum(axis=1)
        squares[start : start + len(block)] = (values * values).sum(axis=1)
    count = images[0].size
    return totals / count, np.sqrt(count * squares - totals * totals) / count


def load(folder: Path) -> Profile:
    """Read a profile. Raises FileNotFoundError, or DataError for another layout."""
    head, rows = read_json(folder / HEAD), read_npy(folder / ROWS)
    if head["version"] != 1 or rows.dtype != ROW:
        raise DataError(f"{folder} has a profile in another layout. Run `dvc repro --force prepare`.")
    return Profile(
        rows,
        tuple(head["classes"]),
        tuple(head["modes"]),
        head["resolution"],
        head["channels"],
        head["data_sha256"],
        head.get("kind", "images"),
    )
