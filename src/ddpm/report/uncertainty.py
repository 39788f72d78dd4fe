"""Heat maps of the spread of several restorations, in grey levels (0 to 255)."""

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ddpm.report.plots import GREY, png

HEAT = "inferno"


def per_pixel(spread: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce (..., H, W, C) to (..., H, W) by the root mean square over the channels."""
    root: NDArray[np.float32] = np.sqrt(np.square(spread).mean(axis=-1, dtype=np.float32))
    return root


def top(spread: NDArray[np.float32]) -> float:
    """Return the end of the scale: the largest spread of a pixel, rounded up to tens of grey levels."""
    return 10.0 * max(1, math.ceil(float(per_pixel(spread).max()) / 10))


def heat(spread: NDArray[np.float32], most: float) -> NDArray[np.uint8]:
    """Map grey levels (H, W, C) to colours (H, W, 3), black at 0 and brightest at `most`."""
    colours: NDArray[np.uint8] = colormaps[HEAT](per_pixel(spread) / most, bytes=True)[..., :3]
    return colours


def picture(spread: NDArray[np.float32], most: float) -> bytes:
    """Draw (H, W, C) as a PNG with a colour bar in grey levels (of 0 to 255)."""
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(per_pixel(spread), cmap=HEAT, vmin=0, vmax=most, interpolation="nearest")
    axes.set_axis_off()
    bar = figure.colorbar(shown, ax=axes, ticks=MaxNLocator(6))
    bar.set_label("standard deviation (grey levels, 0 to 255)", color=GREY)
    bar.ax.tick_params(colors=GREY, labelsize=9)
    bar.outline.set_visible(False)
    return png(figure)
