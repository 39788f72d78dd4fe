"""Images as arrays: uint8 (H, W, C) with one or three channels, enlarged by integer factors without smoothing."""

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def to_pil(image: Pixels) -> Image.Image:
    """Convert (H, W), (H, W, 1) or (H, W, 3) to a Pillow image, grey or RGB."""
    return Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)


def to_png(image: Pixels, **options: Any) -> bytes:
    """Encode an image as PNG. options: those of Pillow's writer."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG", **options)
    return buffer.getvalue()


def enlarge(images: Pixels, scale: int) -> Pixels:
    """Enlarge (..., H, W, C), each pixel to a square of side `scale`."""
    return images.repeat(scale, axis=-3).repeat(scale, axis=-2)


def square_columns(count: int) -> int:
    """Return the number of columns that makes a grid of `count` images as square as possible."""
    return math.ceil(math.sqrt(count))


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
