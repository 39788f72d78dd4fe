"""Plots as PNG: transparent, legible on light and dark pages, without global state.

Equal numbers give equal bytes: no dates, and matplotlib's own fonts.
"""

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from ddpm.imaging.labels import label
from ddpm.metrics import loss_gap

GREY, BLUE, ORANGE = "#7a7f87", "#3b82d6", "#e0802a"
LINES = (GREY, BLUE, ORANGE, "#2e9e6b", "#b5539c", "#c7453c", "#8a6fd1", "#a08a1f")
WIDTH, HEIGHT, DPI = 9.0, 3.1, 160
MOST_NAMES = 24  # more class names than this overlap


def training(images: Sequence[float], loss: Sequence[float], lr: Sequence[float]) -> bytes:
    """Plot loss (logarithmic) and learning rate over the training images seen."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, values, name, colour in ((left, loss, "training loss", BLUE), (right, lr, "learning rate", ORANGE)):
        axes.plot(images, values, color=colour, linewidth=1.8, marker="o" if len(images) < 3 else None)
        tidy(axes)
        axes.set_title(name, loc="left", color=GREY, fontsize=11)
        axes.set_xlabel("training images seen", color=GREY)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
        axes.set_xlim(left=0)
    if min(loss) > 0:
        left.set_yscale("log")
        left.yaxis.set_major_locator(_few_per_decade(min(loss), max(loss)))
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.yaxis.set_minor_formatter(NullFormatter())
    right.set_ylim(bottom=0)
    right.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return png(figure)


def heldout(rows: Sequence[Mapping[str, float]], sigmas: Sequence[float]) -> bytes:
    """Plot held-out and training loss over the images seen, a panel for each noise level; rows as in `loss_gap`."""
    figure = Figure(figsize=(WIDTH, 1.4 * HEIGHT), layout="constrained")
    images = [row["images"] for row in rows]
    colours = dict(zip(loss_gap.SETS, (ORANGE, BLUE), strict=True))
    panels = figure.subplots(2, -(-len(sigmas) // 2), sharex=True).flatten()
    for number, (axes, sigma) in enumerate(zip(panels, sigmas, strict=False), start=1):
        for name in reversed(loss_gap.SETS):  # held-out on top
            values = [row[loss_gap.column(name, number)] for row in rows]
            axes.plot(images, values, color=colours[name], linewidth=1.5, marker="o" if len(rows) < 3 else None)
        tidy(axes)
        axes.set_title(f"sigma {sigma:.3g}", loc="left", color=GREY, fontsize=9)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.supxlabel("training images seen", color=GREY, fontsize=10)
    return png(figure)


def losses(curves: Mapping[str, Sequence[tuple[float, float]]]) -> bytes:
    """Plot held-out losses of several models: points (images seen, loss) by model; the first is emphasised."""
    figure = Figure(figsize=(WIDTH, 1.2 * HEIGHT), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        axes.plot(
            [images for images, _ in points], [loss for _, loss in points],
            color=LINES[number % len(LINES)], linewidth=2.4 if number == 0 else 1.6, label=label(name),
            linestyle="-" if number < len(LINES) else "--", marker="o" if len(points) < 3 else None,
        )  # fmt: skip
    tidy(axes)
    axes.set_title("held-out loss", loc="left", color=GREY, fontsize=11)
    axes.set_xlabel("training images seen", color=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set_xlim(left=0)
    axes.legend(loc="upper right", frameon=False, labelcolor=GREY, fontsize=10)
    return png(figure)


def classes(names: Sequence[str], generated: Sequence[float], real: Sequence[float]) -> bytes:
    """Plot the share of each class among the generated images (bars) and the training images (marks)."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    places = range(len(names))
    bars = axes.bar(places, [100 * share for share in generated], width=0.66, color=BLUE, label="generated")
    half = 0.4
    marks = axes.hlines(
        [100 * share for share in real],
        [place - half for place in places],
        [place + half for place in places],
        color=ORANGE,
        linewidth=2.5,
        label="training set",
    )
    tidy(axes)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("share of images (%)", color=GREY)
    axes.set_xlabel("class, by the classifier", color=GREY)
    axes.set_xlim(-0.6, len(names) - 0.4)
    if len(names) <= MOST_NAMES:
        shown = [label(name) for name in names]
        long = max(map(len, shown)) > 4
        axes.set_xticks(list(places), shown, rotation=40 if long else 0, ha="right" if long else "center")
    axes.legend(
        handles=[bars, marks], loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, labelcolor=GREY,
        borderaxespad=0, fontsize=10,
    )  # fmt: skip
    return png(figure)


def schedules(sigmas: Mapping[str, NDArray[np.float64]], own: str, sampled: NDArray[np.float64]) -> bytes:
    """Plot sigma, abar and log-SNR of noise schedules over t / T; the model's `own` stands out, the rest are grey.

    sigmas: ascending, by name; sampled: the sigmas of its sampler's steps, marked.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    panels: list[tuple[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = [
        ("sigma", lambda sigma: sigma),
        ("abar = 1 / (1 + sigma²)", lambda sigma: 1 / (1 + sigma**2)),
        ("log-SNR = -2 log sigma", lambda sigma: -2 * np.log(sigma)),
    ]
    for axes, (title, of) in zip(figure.subplots(1, 3), panels, strict=True):
        for name, sigma in sorted(sigmas.items(), key=lambda item: item[0] == own):  # own last, on top
            course = np.linspace(0, 1, len(sigma))
            colour, width = (BLUE, 2.2) if name == own else (GREY, 0.8)
            axes.plot(course, of(sigma), color=colour, linewidth=width, alpha=1 if name == own else 0.6)
        own_course = np.linspace(0, 1, len(sigmas[own]))
        at = np.interp(np.log(sampled), np.log(sigmas[own]), own_course)
        axes.plot(at, of(sampled), "o", color=ORANGE, markersize=3.5)
        tidy(axes)
        axes.set_title(title, loc="left", color=GREY, fontsize=11)
        axes.set_xlabel("t / T", color=GREY)
        if title == "sigma":
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    return png(figure)


def tidy(axes: Axes) -> None:
    """Style axes: two spines, a faint grid, grey text."""
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(colors=GREY, which="both", labelsize=9)
    axes.grid(visible=True, color=GREY, alpha=0.22, linewidth=0.7)
    axes.set_axisbelow(True)


def _few_per_decade(low: float, high: float) -> LogLocator:
    """Choose ticks for a logarithmic axis that may span less than a decade."""
    narrow = high / low < 20
    return LogLocator(base=10, subs=(1, 2, 3, 5, 7) if narrow else (1,), numticks=12)


def _thousands(value: float, _: int) -> str:
    """Format a tick as 2,000 or 60k, without an offset above the axis."""
    return f"{value:,.0f}" if value < 10_000 else f"{value / 1000:,.0f}k"


def png(figure: Figure) -> bytes:
    """Encode a figure as PNG, without date and version. No text is parsed as a formula."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    figure.savefig(buffer, format="png", dpi=DPI, transparent=True, metadata={"Software": None})
    return buffer.getvalue()
