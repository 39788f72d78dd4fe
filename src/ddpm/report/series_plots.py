"""Plots of series: generated ones beside real ones, by their memory, their tails and their paths."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ddpm.metrics import stylised_facts
from ddpm.report.plots import BLUE, GREY, HEIGHT, LINES, ORANGE, WIDTH, png, tidy

Sets = Mapping[str, NDArray[np.floating]]
COLOURS = {"real": GREY, "held out": LINES[3], "generated": BLUE, "shuffled": ORANGE}
LEVELS = np.concatenate([np.geomspace(1e-3, 0.1, 21), np.linspace(0.1, 0.9, 41)[1:-1], 1 - np.geomspace(0.1, 1e-3, 21)])
FAN = (0.05, 0.25, 0.5, 0.75, 0.95)


def memory(sets: Sets, lags: int) -> bytes:
    """Plot the autocorrelation of values and of their magnitudes at lags 1 to `lags`; sets (N, L, C) by name."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, title, magnitudes in zip(panels, ("values", "magnitudes"), (False, True), strict=True):
        for name, series in sets.items():
            found = stylised_facts.autocorrelation(series, lags, magnitudes=magnitudes)
            axes.plot(range(1, lags + 1), found, color=COLOURS[name], linewidth=1.8, label=name)
        _titled(axes, f"autocorrelation of {title}", "lag, rows")
        axes.axhline(0, color=GREY, linewidth=0.7)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _legend(panels[0])
    return png(figure)


def tails(sets: Sets) -> bytes:
    """Plot quantiles of each set against those of real rows, standardised by these; sets as in `memory`."""
    figure = Figure(figsize=(WIDTH, 1.2 * HEIGHT), layout="constrained")
    axes = figure.subplots()
    rows = {name: np.asarray(series, np.float64).reshape(-1, series.shape[2]) for name, series in sets.items()}
    mean, std = rows["real"].mean(axis=0), rows["real"].std(axis=0)
    quantiles = {name: np.quantile((each - mean) / std, LEVELS, axis=0).mean(axis=1) for name, each in rows.items()}
    real = quantiles.pop("real")
    axes.plot(real, real, color=GREY, linewidth=1)
    for name, found in quantiles.items():
        axes.plot(real, found, color=COLOURS[name], linewidth=1.5, marker=".", markersize=4, label=name)
    _titled(axes, "quantiles from 0.1 % to 99.9 %, in standard deviations", "real")
    _legend(axes)
    return png(figure)


def fans(sets: Sets, accumulate: Callable[[NDArray[np.floating]], NDArray[np.floating]]) -> bytes:
    """Plot the quantiles FAN of paths over the rows of a window, a panel for each set; of the first column."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(sets), sharey=True))
    for axes, (name, series) in zip(panels, sets.items(), strict=True):
        paths = accumulate(series[:, :, 0])
        low, lower, middle, upper, high = np.quantile(paths, FAN, axis=0)
        rows = np.arange(1, paths.shape[1] + 1)
        for bottom, top, alpha in ((low, high, 0.25), (lower, upper, 0.45)):
            axes.fill_between(rows, bottom, top, color=COLOURS[name], alpha=alpha, linewidth=0)
        axes.plot(rows, middle, color=COLOURS[name], linewidth=1.5)
        _titled(axes, name, "row of the window")
    return png(figure)


def accumulated(transform: str) -> Callable[[NDArray[np.floating]], NDArray[np.floating]]:
    """Return the function from values (N, L) to paths: sums of increments, or the values themselves."""
    if transform in stylised_facts.INCREMENTS:
        return partial(np.cumsum, axis=1, dtype=np.float64)
    return lambda values: values


def _titled(axes: Axes, title: str, below: str) -> None:
    tidy(axes)
    axes.set_title(title, loc="left", color=GREY, fontsize=11)
    axes.set_xlabel(below, color=GREY)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, labelcolor=GREY, fontsize=9)
