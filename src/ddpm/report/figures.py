"""The pictures of the report with their captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm.common.units import score_number
from ddpm.imaging import sheets
from ddpm.imaging.pixels import Pixels
from ddpm.metrics import loss_gap
from ddpm.report import pictures, plots, series_plots
from ddpm.report.picture import Picture

Labels = NDArray[np.int64]
STRIP_COLUMNS, STRIP_ROWS = (8, 12), 3
"""Fewest and most columns, and rows, of the strip at the top of the page."""


@dataclass(frozen=True)
class Measure:
    """A measure that ranks generated images."""

    title: str
    caption: str
    best: str
    worst: str
    high_is_best: bool


MEASURES = {
    "confidence": Measure(
        "Best and worst by the classifier",
        "The generated images{rows} with the highest classifier confidence, at the left, and the lowest, at the right.",
        "most confident",
        "least confident",
        high_is_best=True,
    ),
    "neighbour": Measure(
        "Best and worst by the nearest training image",
        "The generated images{rows} nearest to a training image in feature space, at the left, and farthest from all "
        "of them, at the right: the right ones look least like the data; the left ones may be copies.",
        "nearest",
        "farthest",
        high_is_best=False,
    ),
}


def samples(images: Pixels, labels: Labels, side: int) -> Picture:
    """The first images, unsorted and unselected."""
    shown = min(side * side, len(images))
    requested = f" Classes were requested in {_shares(labels)}." if (labels >= 0).all() else ""
    caption = f"The first {shown} images, unselected.{requested} Each pixel is drawn as a square."
    alt = f"Grid of {shown} generated images"
    grid = sheets.grid(list(images[: side * side]), side)
    return Picture(grid, "Samples", caption, alt, name="samples", part="images")


def strip(images: Pixels, labels: Labels, classes: Sequence[str]) -> Picture:
    """The first images in a few rows, for the top of the page: one column for each class if there are few classes."""
    by_class = (labels >= 0).all() and STRIP_COLUMNS[0] <= len(classes) <= STRIP_COLUMNS[1]
    columns = len(classes) if by_class else STRIP_COLUMNS[0]
    shown = min(STRIP_ROWS * columns, len(images))
    png = sheets.grid(list(images[:shown]), columns)
    return Picture(
        png, "First samples", "The first samples, unselected", f"The first {shown} generated images, unselected",
        name="first_samples", part="top",
    )  # fmt: skip


def _shares(labels: Labels) -> str:
    """Describe the shares in which classes were requested."""
    counts = np.bincount(labels)
    return "equal shares" if counts.max() - counts.min() <= 1 else "the shares that they have in the training images"


def comparison(real: Pixels, real_labels: Labels, images: Pixels, labels: Labels, classes: Sequence[str]) -> Picture:
    """Show training and generated images; those with `real_labels` of -1 are not shown by class."""
    by_class = classes if (labels >= 0).all() else ()
    rows = ", a row for each class" if by_class else ""
    return Picture(
        pictures.real_and_generated(real, real_labels, images, labels, by_class),
        "Real and generated images",
        f"Images of the data set at the left, generated ones at the right{rows}.",
        f"Real images at the left and generated images at the right{rows}",
        name="real_and_generated",
        part="images",
    )


def extremes(
    images: Pixels, labels: Labels, classes: Sequence[str], *, scores: NDArray[np.floating], by: str
) -> Picture:
    """Show the best and worst generated images of each class by a measure of MEASURES; scores (N,)."""
    named = MEASURES[by]
    by_class = classes if (labels >= 0).all() else ()
    shown = pictures.extremes(
        images, labels, by_class, scores if named.high_is_best else -scores, (named.best, named.worst)
    )
    rows = " of each class" if by_class else ""
    return Picture(
        shown,
        named.title,
        named.caption.format(rows=rows),
        f"Generated images{rows}: {named.best} at the left, {named.worst} at the right",
        name=f"extremes_{by}",
        part="extremes",
    )


def denoising(strip: Pixels, labels: Labels, classes: Sequence[str]) -> Picture:
    """Show the denoising of samples: strip (rows, steps, H, W, C)."""
    names = [classes[label] if label >= 0 else "" for label in labels[: len(strip)]]
    return Picture(
        pictures.denoising(strip, names),
        "From noise to image",
        "Each row is the denoising of one sample: pure noise at the left, the finished image at the right.",
        f"{len(strip)} rows of images that emerge from noise, left to right",
        name="denoising",
        part="process",
    )


CLOSE = {
    # selection of samples: the picture's name, title and description
    "worst": ("neighbours_worst", "Nearest to a training image", "the closest of all"),
    "of_each_class": ("neighbours", "Nearest of each class", "the closest of each class first"),
}


def companions(
    images: Pixels, nearest: Sequence[Sequence[Pixels]], distances: Sequence[float], typical: float | None, chosen: str
) -> Picture:
    """Show samples, selected by the row `chosen` of CLOSE, with their nearest training images.

    typical: median distance of unseen real images; None if there are too few of them.
    """
    name, title, selection = CLOSE[chosen]
    usual = "" if typical is None else f"; the median for unseen real images is {score_number(typical)}"
    return Picture(
        pictures.neighbours(images, nearest, distances),
        title,
        f"{len(images)} samples that are close to a training image ({selection}), each with its {len(nearest[0])} "
        f"nearest training images. The number is the distance to the nearest one, in feature space{usual}. A copy has "
        "distance 0 and looks identical.",
        f"{len(images)} rows: a generated image, then the training images most like it",
        name=name,
        part="memorisation",
    )


def curves(seen: Sequence[float], loss: Sequence[float], rate: Sequence[float]) -> Picture:
    """Show loss and learning rate."""
    return Picture(
        plots.training(seen, loss, rate),
        "Training",
        f"{seen[-1]:,.0f} images seen. The loss, at the left, is averaged between log lines.",
        f"Training loss from {loss[0]:.3g} to {loss[-1]:.3g}, and the learning rate, over {seen[-1]:,.0f} images",
        name="training",
        part="training",
    )


def heldout_loss(rows: Sequence[Mapping[str, float]], sigmas: Sequence[float]) -> Picture:
    """Show held-out against training loss by noise level; rows as returned by `loss_gap.measured`."""
    last = rows[-1]
    gap = loss_gap.gap_text(last)
    return Picture(
        plots.heldout(rows, sigmas),
        "Held-out and training loss",
        f"Loss of the EMA weights on held-out images (orange) and on equally many training images (blue), at "
        f"{len(sigmas)} noise levels from low to high, with fixed images and noise. At the end the held-out loss "
        f"differs from the training loss by {gap} (standard error). A growing gap means that the model is memorising "
        f"its training images.",
        f"{len(sigmas)} small plots, one for each noise level, of held-out and training loss over "
        f"{last['images']:,.0f} images; final gap {gap}",
        name="heldout_loss",
        part="training",
    )


def memory(sets: Mapping[str, NDArray[np.floating]], lags: int) -> Picture:
    """Show the autocorrelation of series; sets (N, L, C) by name."""
    return Picture(
        series_plots.memory(sets, lags),
        "Memory",
        "Autocorrelation of the values, at the left, and of their magnitudes, at the right: large changes that follow "
        "one another. Shuffled are real rows in random order, which have none.",
        f"Autocorrelation at lags 1 to {lags} of {', '.join(sets)} series",
        name="memory",
        part="images",
    )


def tails(sets: Mapping[str, NDArray[np.floating]]) -> Picture:
    """Show the quantiles of series against those of real ones; sets as in `memory`."""
    return Picture(
        series_plots.tails(sets),
        "Tails",
        "Quantiles of the values of all rows against those of the real training rows, on the grey line if equal.",
        f"Quantiles of {', '.join(sets)} series",
        name="tails",
        part="images",
    )


def fans(sets: Mapping[str, NDArray[np.floating]], transform: str) -> Picture:
    """Show the spread of paths over a window; sets as in `memory`."""
    summed = "sums of the values" if transform != "none" else "values"
    return Picture(
        series_plots.fans(sets, series_plots.accumulated(transform)),
        "Paths",
        f"Median, quartiles and the range of 90 % of the {summed} over the rows of a window (first column).",
        f"Fans of {', '.join(sets)} paths",
        name="fans",
        part="images",
    )


def schedule(sigmas: Mapping[str, NDArray[np.float64]], own: str, sampled: NDArray[np.float64]) -> Picture:
    """Show the model's noise schedule among the others."""
    others = "; ".join(name for name in sigmas if name != own)
    return Picture(
        plots.schedules(sigmas, own, sampled),
        "Noise schedule",
        f"The noise levels of this model ({own}) in blue, from sigma {sigmas[own][0]:.3g} to {sigmas[own][-1]:.3g}; "
        f"marks: the {len(sampled)} of the sampler's steps. In grey, for comparison: {others}.",
        f"Sigma, abar and log-SNR of {own} over the course of the process",
        name="schedule",
        part="training",
    )


def class_shares(histogram: Mapping[str, float], train_labels: Labels, requested: Labels) -> Picture:
    """Show the class shares of generated images and of the training split. requested (N,): class of each, or -1."""
    counts = np.bincount(train_labels, minlength=len(histogram))
    return Picture(
        plots.classes(list(histogram), list(histogram.values()), (counts / counts.sum()).tolist()),
        "Classes",
        "Share of each class among the generated images; marks show the training set."
        + (f" Classes were requested in {_shares(requested)}." if (requested >= 0).all() else ""),
        "Bar chart: " + ", ".join(f"{name} {share:.1%}" for name, share in histogram.items()),
        name="classes",
        part="images",
    )
