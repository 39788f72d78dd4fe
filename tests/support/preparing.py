"""The stage's whole logic run on a folder of files, with the options of the tests."""

from pathlib import Path
from typing import Any

import numpy as np

from ddpm.data import manifest
from ddpm.data.images import Picture, prepare_image
from ddpm.data.prepare import prepare
from ddpm.data.sources import find

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
NOISE = np.random.default_rng(9).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def run(location: Path, target: Path, **changes: Any) -> dict[str, Any]:
    options = {
        "resolution": 8,
        "channels": 1,
        "labels": "folders",
        "background": 0,
        "holdout": 0.3,
        "max_pixels": 10_000,
        "max_bad_fraction": 0.0,
        "near_duplicate": 2.0,
        "min_train": 16,
    }
    return prepare(find(location), target, **(options | changes))


def picture(content: bytes, name: str = "a.png", **changes: Any) -> Picture:
    """One prepared image of 8 x 8 pixels."""
    options = {"resolution": 8, "channels": 1, "background": 0, "max_pixels": 10_000_000} | changes
    return prepare_image(content, name, **options)


def described(folder: Path) -> dict[str, Any]:
    """The whole manifest: its head, `images` and `duplicates`."""
    return manifest.read_head(folder) | {
        "images": list(manifest.read_images(folder)), "duplicates": manifest.read_duplicates(folder)
    }  # fmt: skip


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
