"""The prepared set, the input of all later stages."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common.files import read_json, read_npy
from ddpm.data import profile
from ddpm.data.blocks import blocks
from ddpm.data.errors import DataError
from ddpm.data.manifest import read_head


@dataclass(frozen=True)
class SeriesColumns:
    """The columns of a series: names, transform of their values, mean and deviation over the training split."""

    columns: tuple[str, ...]
    transform: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class PreparedSet:
    """All examples: images sorted by path, or windows of a series by time.

    images: uint8 (N, H, W, C), or float32 (N, L, C) of series, memory-mapped, copy on write; labels: int64 (N,), class
    index, or -1; heldout: bool (N,), True for images excluded from training; sha256: identity of these three arrays;
    folder: where they lie. series: None for images.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64]
    heldout: NDArray[np.bool_]
    classes: tuple[str, ...]
    resolution: int
    channels: int
    sha256: str
    folder: Path
    series: SeriesColumns | None = None

    @property
    def kind(self) -> str:
        """A row of `domains.DOMAINS`."""
        return "images" if self.series is None else "series"

    @property
    def train_indices(self) -> NDArray[np.int64]:
        """Indices of the training images, ascending."""
        return np.flatnonzero(~self.heldout)

    @property
    def heldout_indices(self) -> NDArray[np.int64]:
        """Indices of the held-out images, ascending."""
        return np.flatnonzero(self.heldout)

    def train_digests(self) -> frozenset[bytes]:
        """First 16 bytes of the SHA-256 of the pixels of each training image, as `prepare` kept them.

        Raises DataError if those kept are of another set.
        """
        kept = profile.load(self.folder)
        if kept.data_sha256 != self.sha256 or len(kept.rows) != len(self.labels):
            raise DataError(f"{self.folder} is inconsistent: its profile is of other images. {_AGAIN}")
        return frozenset(kept.rows["pixels"][self.train_indices].tolist())


def load(folder: Path = Path("out/prepare"), verify: bool = False) -> PreparedSet:
    """Open a prepared set. verify: hash it again. Raises DataError or FileNotFoundError with the remedy."""
    if not (folder / "statistics.json").exists():
        raise FileNotFoundError(f"{folder} has no prepared images. Run `dvc repro prepare` (or `make run`).")
    head, statistics = read_head(folder), read_json(folder / "statistics.json")
    images = read_npy(folder / "images.npy", memory_map=True)
    labels, heldout = read_npy(folder / "labels.npy"), read_npy(folder / "heldout.npy")
    side, channels, count = head["resolution"], head["channels"], head["count"]
    series = None
    if head.get("kind") == "series":
        series = SeriesColumns(tuple(head["columns"]), head["transform"], tuple(head["mean"]), tuple(head["std"]))
    stored = (side, side, channels) if series is None else (side, channels)
    if images.shape != (count, *stored) or len(labels) != count or len(heldout) != count:
        raise DataError(
            f"{folder} is inconsistent: {count} images in the manifest, array of shape {images.shape}. {_AGAIN}"
        )
    if verify and identity(images, labels, heldout) != statistics["sha256"]:
        raise DataError(
            f"{folder} was changed after it was prepared: its SHA-256 differs from statistics.json. {_AGAIN}"
        )
    classes, sha256 = tuple(head["classes"]), statistics["sha256"]
    return PreparedSet(images, labels, heldout, classes, side, channels, sha256, folder, series)


_AGAIN = "Run `dvc repro --force prepare`."


def identity(images: NDArray[Any], labels: NDArray[np.int64], heldout: NDArray[np.bool_]) -> str:
    """Compute the SHA-256 of shape, values, labels and split, independent of the machine's byte order."""
    digest = hashlib.sha256(repr(images.shape).encode())
    for _, block in blocks(images):
        digest.update(block.tobytes())
    digest.update(labels.astype("<i8").tobytes())
    digest.update(heldout.astype("u1").tobytes())
    return digest.hexdigest()
