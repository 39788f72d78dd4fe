"""The prepared set, the input of all later stages."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm.common.files import read_json, read_npy
from ddpm.data import profile
from ddpm.data.blocks import blocks
from ddpm.data.errors import DataError
from ddpm.data.manifest import read_head


@dataclass(frozen=True)
class PreparedSet:
    """All images, sorted by path.

    images: uint8 (N, H, W, C), memory-mapped, copy on write; labels: int64 (N,), class index, or -1;
    heldout: bool (N,), True for images excluded from training; sha256: identity of these three arrays; folder: where
    they lie.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    heldout: NDArray[np.bool_]
    classes: tuple[str, ...]
    resolution: int
    channels: int
    sha256: str
    folder: Path

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
    if images.shape != (count, side, side, channels) or len(labels) != count or len(heldout) != count:
        raise DataError(
            f"{folder} is inconsistent: {count} images in the manifest, array of shape {images.shape}. {_AGAIN}"
        )
    if verify and identity(images, labels, heldout) != statistics["sha256"]:
        raise DataError(
            f"{folder} was changed after it was prepared: its SHA-256 differs from statistics.json. {_AGAIN}"
        )
    return PreparedSet(images, labels, heldout, tuple(head["classes"]), side, channels, statistics["sha256"], folder)


_AGAIN = "Run `dvc repro --force prepare`."


def identity(images: NDArray[np.uint8], labels: NDArray[np.int64], heldout: NDArray[np.bool_]) -> str:
    """Compute the SHA-256 of shape, pixels, labels and split, independent of the machine's byte order."""
    digest = hashlib.sha256(repr(images.shape).encode())
    for _, block in blocks(images):
        digest.update(block.tobytes())
    digest.update(labels.astype("<i8").tobytes())
    digest.update(heldout.astype("u1").tobytes())
    return digest.hexdigest()
