"""The contact sheet, an overview picture of the set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ddpm.imaging.labels import label
from ddpm.imaging.pixels import enlarge, to_pil

COLUMNS = 16
ROWS = 24
CELL = 48  # pixels; smaller images are enlarged by a whole factor
GAP = 2
LONGEST = 24  # characters of a name
PAPER, INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str], order: Sequence[str]
) -> Image.Image:
    """Draw a row of images per class (the first 24 classes), or eight rows of an unlabelled set.

    images: uint8 (N, H, W, C). `order`: a key per image; the smallest are shown first.
    """
    ranked = np.array(sorted(range(len(images)), key=lambda index: order[index]))
    if classes:
        rows = [(name, ranked[labels[ranked] == label][:COLUMNS]) for label, name in enumerate(classes[:ROWS])]
    else:
        rows = [("", ranked[start : start + COLUMNS]) for start in range(0, min(len(ranked), 8 * COLUMNS), COLUMNS)]
    return _draw(images, rows)


def _draw(images: NDArray[np.uint8], rows: Sequence[tuple[str, NDArray[np.intp]]]) -> Image.Image:
    """Draw rows of images with their names on the left."""
    font = ImageFont.load_default(size=14)
    factor = max(1, -(-CELL // images.shape[1]))
    cell = images.shape[1] * factor + GAP
    names = [label(name, LONGEST) for name, _ in rows]
    margin = max(int(font.getlength(name)) for name in names)
    margin += 16 if margin else GAP
    columns = max(len(indices) for _, indices in rows)
    sheet = Image.new("RGB", (margin + columns * cell, len(rows) * cell + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (name, (_, indices)) in enumerate(zip(names, rows, strict=True)):
        top = GAP + row * cell
        draw.text((8, top + cell // 2), name, INK, font, anchor="lm")
        for column, index in enumerate(indices):
            sheet.paste(to_pil(enlarge(images[index], factor)), (margin + column * cell, top))
    return sheet
