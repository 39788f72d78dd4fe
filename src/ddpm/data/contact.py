"""The contact sheet: a picture of what is in the set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ddpm.common.terminal import plain

COLUMNS = 16
ROWS = 24
CELL = 48  # pixels; smaller images are enlarged by a whole factor
GAP = 2
PAPER, INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str], order: Sequence[str]
) -> Image.Image:
    """A row of images per class (the first 24 classes), or eight rows of an unlabelled set.

    images: uint8 (N, H, W, C). `order`: a key per image; the smallest are shown first.
    """
    ranked = np.array(sorted(range(len(images)), key=lambda index: order[index]))
    if classes:
        rows = [(name, ranked[labels[ranked] == label][:COLUMNS]) for label, name in enumerate(classes[:ROWS])]
    else:
        rows = [("", ranked[start : start + COLUMNS]) for start in range(0, min(len(ranked), 8 * COLUMNS), COLUMNS)]
    return _draw(images, rows)


def _draw(images: NDArray[np.uint8], rows: Sequence[tuple[str, NDArray[np.intp]]]) -> Image.Image:
    """Rows of images with their names at the left."""
    font = ImageFont.load_default(size=14)
    factor = max(1, -(-CELL // images.shape[1]))
    cell = images.shape[1] * factor + GAP
    lines = [plain(name) for name, _ in rows]
    names = [line if len(line) <= 24 else line[:23] + "…" for line in lines]
    margin = max(int(font.getlength(name)) for name in names)
    margin += 16 if margin else GAP
    columns = max(len(indices) for _, indices in rows)
    sheet = Image.new("RGB", (margin + columns * cell, len(rows) * cell + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (name, (_, indices)) in enumerate(zip(names, rows, strict=True)):
        top = GAP + row * cell
        draw.text((8, top + cell // 2), name, INK, font, anchor="lm")
        for column, index in enumerate(indices):
            sheet.paste(_enlarged(images[index], factor), (margin + column * cell, top))
    return sheet


def _enlarged(image: NDArray[np.uint8], factor: int) -> Image.Image:
    """Each pixel as a square of `factor` pixels, in colour."""
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return Image.fromarray(colour.repeat(factor, axis=0).repeat(factor, axis=1))
