"""Images as arrays: uint8 (H, W, C) with one or three channels, enlarged by integer factors without smoothing."""

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

Pixels = NDArray[np.uint8]
MOST_CLASSES = 20
"""Columns of a grid by class."""


def to_pil(image: Pixels) -> Image.Image:
    """Convert (H, W), (H, W, 1) or (H, W, 3) to a Pillow image, grey or RGB."""
    return Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)


def to_png(image: Pixels | Image.Image, *, text: Mapping[str, str] | None = None, **options: Any) -> bytes:
    """Encode an image as PNG. text: keys and values of its text chunks. options: those of Pillow's writer."""
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    opened = image if isinstance(image, Image.Image) else to_pil(image)
    opened.save(buffer, "PNG", pnginfo=info, **options)
    return buffer.getvalue()


def enlarge(images: Pixels, scale: int) -> Pixels:
    """Enlarge (..., H, W, C), each pixel to a square of side `scale`."""
    return images.repeat(scale, axis=-3).repeat(scale, axis=-2)


def square_columns(count: int) -> int:
    """Return the number of columns that makes a grid of `count` images as square as possible."""
    return math.ceil(math.sqrt(count))


def grid_columns(count: int, classes: int) -> int:
    """Return the columns of a grid of `count` images: one for each class drawn in turn, or as many as make it square.

    classes: number of classes drawn in turn, 0 for none. More than MOST_CLASSES, or than images, make it square.
    """
    return classes if 1 < classes <= min(count, MOST_CLASSES) else square_columns(count)


def tile(images: Pixels, columns: int, *, gap: int = 0, between: int = 0) -> Pixels:
    """Tile (N, H, W, C) in rows as one image. between: grey level of gaps and empty cells."""
    count, height, width, channels = images.shape
    down, across = height + gap, width + gap
    shape = (math.ceil(count / columns) * down - gap, columns * across - gap, channels)
    canvas = np.full(shape, between, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * down, index % columns * across
        canvas[top : top + height, left : left + width] = image
    return canvas
