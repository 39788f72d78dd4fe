"""Animations: changing images side by side, as an endless GIF or WebP."""

import io

from ddpm.imaging.pixels import Pixels, enlarge, grid_columns, tile, to_pil
from ddpm.imaging.sheets import CELL

FORMATS = {".gif": "GIF", ".webp": "WEBP"}
"""By file name ending."""
MILLISECONDS, HOLD = 90, 2000  # duration of a frame, and of the last one
GAP, BETWEEN = 2, 40  # pixels between images, and their grey


def animate(strip: Pixels, ending: str, classes: int = 0) -> bytes:
    """Encode strip (N, F, H, W, C) as F frames, each a grid of the N images, enlarged by an integer factor.

    classes: number of classes drawn in turn, as for `grid_columns`.
    """
    scale = max(1, CELL // max(strip.shape[2:4]))
    columns = grid_columns(len(strip), classes)
    frames = [
        to_pil(tile(enlarge(strip[:, frame], scale), columns, gap=GAP, between=BETWEEN))
        for frame in range(strip.shape[1])
    ]
    kind = FORMATS[ending]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, kind, save_all=True, append_images=frames[1:], loop=0,
        duration=[MILLISECONDS] * (len(frames) - 1) + [HOLD], **({"lossless": True} if kind == "WEBP" else {}),
    )  # fmt: skip
    return buffer.getvalue()
