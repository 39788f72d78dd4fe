"""The sheets of an evaluation: real and generated images, best and worst samples, denoising, nearest neighbours."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ddpm.common.units import score_number
from ddpm.imaging.pixels import Pixels
from ddpm.imaging.sheets import SheetRow, sheet


def real_and_generated(
    real: Pixels,
    real_labels: NDArray[np.int64],
    generated: Pixels,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    columns: int = 5,
    most_rows: int = 20,
) -> bytes:
    """Draw real images left, generated ones right; a row per class (the first `most_rows`), or unsorted without.

    `real` may be a memory map: only the images shown are read.
    """
    rows = []
    if classes:
        for number, name in enumerate(classes[:most_rows]):
            ours = _spread(np.flatnonzero(real_labels == number), columns)
            theirs = _spread(np.flatnonzero(labels == number), columns)
            rows.append(SheetRow(_padded(real, ours, columns) + _padded(generated, theirs, columns), name))
    else:
        ours, theirs = _spread(np.arange(len(real)), 8 * columns), _spread(np.arange(len(generated)), 8 * columns)
        for start in range(0, max(len(ours), len(theirs)), columns):
            part = slice(start, start + columns)
            rows.append(SheetRow(_padded(real, ours[part], columns) + _padded(generated, theirs[part], columns)))
    return sheet(rows, headings={0: "real", columns: "generated"}, groups=[columns])


def extremes(
    images: Pixels,
    labels: NDArray[np.int64],
    classes: Sequence[str],
    scores: NDArray[np.floating],
    headings: tuple[str, str],
    *,
    columns: int = 5,
    most_rows: int = 20,
) -> bytes:
    """Draw the images of the highest scores (N,) left, highest first, and of the lowest right, lowest last.

    A row per class (the first `most_rows`), or four rows without classes. No image is on both sides.
    """
    groups = [(name, np.flatnonzero(labels == number)) for number, name in enumerate(classes[:most_rows])]
    rows = []
    for name, members in groups or [("", np.arange(len(images)))]:
        order = members[np.argsort(-scores[members], kind="stable")]
        height = 1 if groups else 4
        count = min(columns * height, len(order) // 2)
        left, right = order[:count], order[len(order) - count :]
        for start in range(0, max(count, 1), columns):
            part = slice(start, start + columns)
            rows.append(SheetRow(_padded(images, left[part], columns) + _padded(images, right[part], columns), name))
    return sheet(rows, headings={0: headings[0], columns: headings[1]}, groups=[columns])


def denoising(strip: NDArray[np.uint8], names: Sequence[str] = ()) -> bytes:
    """Draw the denoising of samples: (rows, steps, H, W, C), a row per sample."""
    rows = [SheetRow(list(frames), name) for frames, name in zip(strip, names or [""] * len(strip), strict=True)]
    last = strip.shape[1] - 1
    return sheet(rows, headings={0: "noise", last: "image"})


def neighbours(samples: Pixels, nearest: Sequence[Sequence[Pixels]], distances: Sequence[float]) -> bytes:
    """Draw each sample, then its nearest training images, labelled with the distance to the first."""
    rows = [
        SheetRow([sample, *found], score_number(distance))
        for sample, found, distance in zip(samples, nearest, distances, strict=True)
    ]
    return sheet(rows, headings={0: "sample", 1: "nearest training images"}, groups=[1])


def _spread(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Select up to `count` of the indices, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).astype(np.int64)]


def _padded(images: Pixels, indices: NDArray[np.int64], count: int) -> list[Pixels | None]:
    """List the images at `indices`, padded with None to `count`."""
    return [np.asarray(images[i]) for i in indices] + [None] * (count - len(indices))
