"""Sheets of images as PNG: every pixel of an image becomes a square of equal pixels, so nothing is smoothed over.

Sheets are transparent between the images, with grey lettering that reads on a light and on a dark page.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ddpm.report.labels import label

Pixels = NDArray[np.uint8]

CELL = 84  # an image is enlarged to the largest whole multiple of its side that fits
GAP, GROUP_GAP = 3, 18
FONT_SIZE = 18
GREY = (122, 127, 135, 255)


@dataclass(frozen=True)
class Row:
    """Images (H, W, C) uint8, with a name at the left; None leaves a place empty."""

    images: Sequence[Pixels | None]
    name: str = ""


def sheet(
    rows: Sequence[Row],
    *,
    headings: Mapping[int, str] | None = None,
    groups: Sequence[int] = (),
    row_groups: Sequence[int] = (),
) -> bytes:
    """Rows of equally sized images as one PNG.

    headings: text above the columns from that index on; groups, row_groups: columns and rows that stand apart from the
    one before.
    Raises ValueError for rows without an image.
    """
    first = next((image for row in rows for image in row.images if image is not None), None)
    if first is None:
        raise ValueError("a sheet needs one image at least")
    height, width = first.shape[:2]
    scale = max(1, CELL // max(height, width))
    font = ImageFont.load_default(size=FONT_SIZE)
    named = [label(row.name) for row in rows]
    names = max(map(font.getlength, named), default=0)
    left = int(names) + 12 if names else 0
    top = FONT_SIZE + 10 if headings else 0
    columns = max(len(row.images) for row in rows)
    x = [left + i * (width * scale + GAP) + sum(i >= group for group in groups) * GROUP_GAP for i in range(columns)]
    breaks = [sum(0 < group <= i for group in row_groups) for i in range(len(rows))]
    y = [top + i * (height * scale + GAP) + breaks[i] * GROUP_GAP for i in range(len(rows))]
    canvas = Image.new("RGBA", (x[-1] + width * scale, y[-1] + height * scale))
    draw = ImageDraw.Draw(canvas)
    for column, text in (headings or {}).items():
        draw.text((x[column], 0), label(text), GREY, font)
    for row, name, at in zip(rows, named, y, strict=True):
        draw.text((left - 12, at + height * scale / 2), name, GREY, font, anchor="rm")
        for image, across in zip(row.images, x, strict=False):
            if image is not None:
                canvas.paste(enlarge(image, scale), (across, at))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def enlarge(image: Pixels, scale: int) -> Image.Image:
    """(H, W, 1 or 3) uint8, each pixel as a square of `scale` pixels."""
    squares = image.repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(squares[:, :, 0] if image.shape[2] == 1 else squares)


def grid(images: Pixels, side: int) -> bytes:
    """The first `side * side` images (N, H, W, C), in rows."""
    shown = images[: side * side]
    return sheet([Row(list(shown[start : start + side])) for start in range(0, len(shown), side)])


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
    """Real images left, generated ones right; a row per class (the first `most_rows`), or unsorted without classes.

    `real` may be a memory map: only what is shown is read.
    """
    rows = []
    if classes:
        for number, name in enumerate(classes[:most_rows]):
            ours = _spread(np.flatnonzero(real_labels == number), columns)
            theirs = _spread(np.flatnonzero(labels == number), columns)
            rows.append(Row(_padded(real, ours, columns) + _padded(generated, theirs, columns), name))
    else:
        ours, theirs = _spread(np.arange(len(real)), 8 * columns), _spread(np.arange(len(generated)), 8 * columns)
        for start in range(0, max(len(ours), len(theirs)), columns):
            part = slice(start, start + columns)
            rows.append(Row(_padded(real, ours[part], columns) + _padded(generated, theirs[part], columns)))
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
    """The images of the highest scores (N,) left, the highest first; of the lowest right, the lowest last.

    A row per class (the first `most_rows`), or four rows of all without classes. No image is on both sides.
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
            rows.append(Row(_padded(images, left[part], columns) + _padded(images, right[part], columns), name))
    return sheet(rows, headings={0: headings[0], columns: headings[1]}, groups=[columns])


def denoising(strip: NDArray[np.uint8], names: Sequence[str] = ()) -> bytes:
    """The way from noise to image: (rows, moments, H, W, C), a row per sample."""
    rows = [Row(list(moments), name) for moments, name in zip(strip, names or [""] * len(strip), strict=True)]
    last = strip.shape[1] - 1
    return sheet(rows, headings={0: "noise", last: "image"})


def neighbours(samples: Pixels, nearest: Sequence[Sequence[Pixels]], distances: Sequence[float]) -> bytes:
    """Each sample, then its nearest training images, named by the distance to the first of them."""
    rows = [
        Row([sample, *found], f"{distance:.2f}")
        for sample, found, distance in zip(samples, nearest, distances, strict=True)
    ]
    return sheet(rows, headings={0: "sample", 1: "nearest training images"}, groups=[1])


def _spread(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Up to `count` of the indices, evenly spread."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).astype(np.int64)]


def _padded(images: Pixels, indices: NDArray[np.int64], count: int) -> list[Pixels | None]:
    """The images at `indices`, then empty places up to `count`."""
    return [np.asarray(images[i]) for i in indices] + [None] * (count - len(indices))
