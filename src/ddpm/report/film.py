"""Films: images that change, side by side, as an animated GIF or WebP that begins again by itself."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddpm.report.pictures import CELL

Pixels = NDArray[np.uint8]

KINDS = {".gif": "GIF", ".webp": "WEBP"}
"""File name endings of films."""
MILLISECONDS, HOLD = 90, 2000  # of a frame, and of the last one
GAP, BETWEEN = 2, 40  # pixels between images, and their grey


def film(moments: Pixels, ending: str) -> bytes:
    """moments (N, F, H, W, C) uint8, N images at F moments: F frames, each a grid of the N, enlarged whole."""
    frames = [Image.fromarray(tiled(moments[:, moment])) for moment in range(moments.shape[1])]
    kind = KINDS[ending]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, kind, save_all=True, append_images=frames[1:], loop=0,
        duration=[MILLISECONDS] * (len(frames) - 1) + [HOLD], **({"lossless": True} if kind == "WEBP" else {}),
    )  # fmt: skip
    return buffer.getvalue()


def tiled(images: Pixels) -> Pixels:
    """(N, H, W, C) in rows as near to a square as N allows: (height, width) for grey, (height, width, 3) for colour."""
    count, height, width, channels = images.shape
    scale = max(1, CELL // max(height, width))
    large = images.repeat(scale, axis=1).repeat(scale, axis=2)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    down, across = height * scale + GAP, width * scale + GAP
    canvas = np.full((rows * down - GAP, columns * across - GAP, channels), BETWEEN, dtype=np.uint8)
    for index, image in enumerate(large):
        top, left = index // columns * down, index % columns * across
        canvas[top : top + height * scale, left : left + width * scale] = image
    return canvas[:, :, 0] if channels == 1 else canvas
