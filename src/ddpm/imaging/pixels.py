"""Images as arrays: uint8 (H, W, C) with one or three channels, enlarged by whole pixels and never smoothed."""

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def to_pil(image: Pixels) -> Image.Image:
    """(H, W), (H, W, 1) or (H, W, 3) as an image of Pillow, grey or RGB."""
    return Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)


def to_png(image: Pixels, **options: Any) -> bytes:
    """The same as a PNG. options: those of Pillow's writer."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG", **options)
    return buffer.getvalue()


def enlarge(images: Pixels, scale: int) -> Pixels:
    """(..., H, W, C), each pixel as a square of `scale` pixels."""
    return images.repeat(scale, axis=-3).repeat(scale, axis=-2)


def square_columns(count: int) -> int:
    """The number of columns that brings `count` images as near to a square as possible."""
    return math.ceil(math.sqrt(count))


def tile(images: Pixels, columns: int, *, gap: int = 0, between: int = 0) -> Pixels:
    """(N, H, W, C) in rows, as one image. between: the grey level of the gaps and of empty places."""
    count, height, width, channels = images.shape
    down, across = height + gap, width + gap
    shape = (math.ceil(count / columns) * down - gap, columns * across - gap, channels)
    canvas = np.full(shape, between, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * down, index % columns * across
        canvas[top : top + height, left : left + width] = image
    return canvas
