"""Series as small pictures: a line for each column, so that sheets and grids of images show them too."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ddpm.imaging.pixels import Pixels

WIDTH, HEIGHT = 84, 84
MARGIN, SUPERSAMPLING = 3, 4
PAPER, AXIS = (255, 255, 255), (200, 203, 208)
COLOURS = ((31, 119, 180), (214, 99, 14), (44, 140, 60), (168, 50, 60), (120, 90, 170), (110, 80, 70))
"""Of the columns in turn, dark enough for white paper."""


def drawn(series: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]) -> Pixels:
    """Draw one series (L, C) as (HEIGHT, WIDTH, 3), each column between its limits `low` and `high` (C,).

    Values beyond the limits are drawn at the border. The grey line is the middle of the limits.
    """
    scale = SUPERSAMPLING
    canvas = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.line([(0, HEIGHT * scale / 2), (WIDTH * scale, HEIGHT * scale / 2)], AXIS, scale)
    x = np.linspace(MARGIN, WIDTH - MARGIN, len(series)) * scale
    share = ((series - low) / np.where(high > low, high - low, 1)).clip(0, 1)
    y = (HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)) * scale
    for column in range(series.shape[1]):
        points = list(zip(x.tolist(), y[:, column].tolist(), strict=True))
        draw.line(points, COLOURS[column % len(COLOURS)], scale, joint="curve")
    return np.asarray(canvas.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


class Paths:
    """Series (N, L, C) that are drawn where they are looked at, with common limits; indexed like an array of images.

    limits: low and high (C,); None: symmetric about the mean, to hold 99.8 % of the values of `series`.
    """

    def __init__(self, series: NDArray[Any], limits: tuple[NDArray[Any], NDArray[Any]] | None = None) -> None:
        self.series = series
        self.limits = limits or common_limits(series)

    def __len__(self) -> int:
        return len(self.series)

    def __getitem__(self, index: Any) -> Pixels:
        """One picture for an integer; (M, HEIGHT, WIDTH, 3) for a slice or list of them."""
        chosen = self.series[index]
        if chosen.ndim == 2:
            return drawn(chosen, *self.limits)
        return np.stack([drawn(each, *self.limits) for each in chosen])


def as_pictures(examples: NDArray[Any]) -> Pixels:
    """Return images (N, H, W, C) uint8 as they are, and series (..., L, C) drawn with common limits."""
    if examples.dtype == np.uint8:
        return examples
    found = Paths(examples.reshape(-1, *examples.shape[-2:]))[:]
    return found.reshape(*examples.shape[:-2], *found.shape[1:])


def common_limits(series: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits (C,) about the mean of each column that hold 99.8 % of its values."""
    rows = np.asarray(series[:: max(1, len(series) // 2000)], np.float64).reshape(-1, series.shape[-1])
    centre = rows.mean(0)
    reach = np.quantile(np.abs(rows - centre), 0.998, axis=0)
    return centre - reach, centre + reach
