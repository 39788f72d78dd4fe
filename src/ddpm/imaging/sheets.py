"""Sheets of images as PNG, enlarged by an integer factor without smoothing.

Sheets are transparent between the images, with grey text that is legible on light and dark pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from ddpm.imaging.labels import label
from ddpm.imaging.pixels import Pixels, enlarge, to_pil, to_png

CELL = 84  # pixels; images are enlarged by the largest integer factor that fits
GAP, GROUP_GAP = 3, 18
FONT_SIZE = 28  # 11 pixels where a sheet of ten columns fills a phone's screen
GREY = (122, 127, 135, 255)


@dataclass(frozen=True)
class SheetRow:
    """Images (H, W, C) uint8, with a name on the left; None leaves a cell empty."""

    images: Sequence[Pixels | None]
    name: str = ""


def sheet(
    rows: Sequence[SheetRow],
    *,
    headings: Mapping[int, str] | None = None,
    groups: Sequence[int] = (),
    row_groups: Sequence[int] = (),
    text: Mapping[str, str] | None = None,
) -> bytes:
    """Draw rows of equally sized images as one PNG.

    headings: text by index of the first column below it. groups, row_groups: columns and rows with a wider gap before
    them. text: of the PNG. Raises ValueError for rows without an image.
    """
    first = next((image for row in rows for image in row.images if image is not None), None)
    if first is None:
        raise ValueError("a sheet needs at least one image")
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
    for column, heading in (headings or {}).items():
        draw.text((x[column], 0), label(heading), GREY, font)
    for row, name, at in zip(rows, named, y, strict=True):
        draw.text((left - 12, at + height * scale / 2), name, GREY, font, anchor="rm")
        for image, across in zip(row.images, x, strict=False):
            if image is not None:
                canvas.paste(to_pil(enlarge(image, scale)), (across, at))
    return to_png(canvas, text=text, optimize=True)


def grid(
    images: Sequence[Pixels], columns: int, *, headings: Sequence[str] = (), text: Mapping[str, str] | None = None
) -> bytes:
    """Draw images in rows of `columns`. headings: of the columns, left out if one does not fit. text: of the PNG."""
    rows = [SheetRow(images[start : start + columns]) for start in range(0, len(images), columns)]
    width = images[0].shape[1] * max(1, CELL // max(images[0].shape[:2]))
    font = ImageFont.load_default(size=FONT_SIZE)
    fit = all(font.getlength(label(each)) <= width for each in headings)
    return sheet(rows, headings=dict(enumerate(headings)) if fit else None, text=text)
