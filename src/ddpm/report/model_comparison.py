"""Models side by side from equal seeds, with their scores, as one HTML file; the first one is the reference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ddpm.common.values import is_number
from ddpm.imaging import sheets
from ddpm.imaging.pixels import Pixels
from ddpm.report import html, scores, uncertainty
from ddpm.report.picture import Picture

COLUMNS = 8  # seeds beside each other
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Drawn:
    """Images of several models, uint8 (N, H, W, C) each: image i from the same seed and for the same label.

    names: of the models, the reference first; labels (N,): indices of `classes`, -1 for none.
    """

    names: Sequence[str]
    images: Sequence[Pixels]
    labels: NDArray[np.int64]
    classes: Sequence[str]

    def apart(self, number: int) -> NDArray[np.float64]:
        """Root mean square difference (N,) of a model's images from the reference's, in grey levels (0 to 255)."""
        return rms(self.images[0], self.images[number])

    @property
    def usual(self) -> float | None:
        """Median difference between two of the reference's images of one class from different seeds; None if single."""
        first = self.images[0]
        found = [
            rms(first[members], np.roll(first[members], 1, axis=0))
            for members in (np.flatnonzero(self.labels == label) for label in np.unique(self.labels))
            if len(members) > 1
        ]
        return float(np.median(np.concatenate(found))) if found else None


@dataclass(frozen=True)
class Context:
    """Facts besides the images.

    title: the heading; paragraph: a verdict and its reasons, "" for none; metrics: for each model as in metrics.json,
    None without an evaluation; conditions: of the drawing, by name; commands: purpose and command.
    """

    title: str
    paragraph: tuple[str, str]
    metrics: Sequence[Mapping[str, Any] | None]
    conditions: Mapping[str, str]
    commands: Sequence[tuple[str, str]]


def page(drawn: Drawn, context: Context) -> str:
    """The page as HTML."""
    gaps = [_gaps(drawn, number) for number in range(1, len(drawn.names))]
    most = min(255.0, max(map(uncertainty.top, gaps)))
    apart = np.max([drawn.apart(number) for number in range(1, len(drawn.names))], axis=0)
    farthest = np.argsort(-apart, kind="stable")[:COLUMNS]
    by_class = [
        (f"Class {name}", _sheet(drawn, np.flatnonzero(drawn.labels == number), most, f"Class {name}"))
        for number, name in enumerate(drawn.classes)
        if (drawn.labels == number).any()
    ]
    all_seeds = "All pairs" if len(drawn.names) == 2 else "All seeds"
    everything = by_class or [(all_seeds, _sheet(drawn, np.arange(len(apart)), most, all_seeds))]
    return html.fill(
        "model_comparison.html.jinja", context=context, names=drawn.names, figures=_figures(drawn, apart),
        most=[("Most different", _sheet(drawn, farthest, most, "The images that differ most, of all"))],
        every=everything, everything=f"All {len(apart)} {'pairs' if len(drawn.names) == 2 else 'seeds'}",
        models=[_differences(drawn, number) for number in range(1, len(drawn.names))], rows=_rows(drawn, apart),
        scores=score_rows(context.metrics), unequal=unequal(context.metrics), scale=f"{most:g}",
    )  # fmt: skip


def rms(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Root mean square difference (N,) of images (N, H, W, C), in grey levels."""
    gaps = first.astype(np.float64) - second.astype(np.float64)
    found: NDArray[np.float64] = np.sqrt(np.square(gaps).mean(axis=(1, 2, 3)))
    return found


def score_rows(metrics: Sequence[Mapping[str, Any] | None]) -> list[tuple[str, str, str, list[str]]]:
    """Name, arrow, which direction is better, and each model's value with its interval, of every score that one has."""
    found = []
    for kind in scores.KINDS:
        values = [_with_interval(each or {}, kind.key, share=kind.share) for each in metrics]
        if any(values):
            found.append((kind.name, *scores.ARROWS[kind.better], values))
    return found


def unequal(metrics: Sequence[Mapping[str, Any] | None]) -> list[str]:
    """Conditions in which the evaluations differ; with any, the scores do not compare. Weights are no condition."""
    known = [each["conditions"] for each in metrics if each]
    names = dict.fromkeys(name for each in known for name in each if name != "weights_sha256")
    return [name for name in names if any(each.get(name) != known[0].get(name) for each in known)]


def _with_interval(metrics: Mapping[str, Any], key: str, *, share: bool) -> str:
    """A score and the half width of its interval, by Student's t from the deviation between blocks of seeds."""
    value = metrics.get(key)
    text = scores.text(value, share=share)
    deviation = metrics.get("spread", {}).get(key, {}).get("std")
    blocks = metrics.get("blocks", {}).get("count", 0)
    if not text or not is_number(deviation) or blocks < 2:
        return text
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, blocks - 1)) * deviation / math.sqrt(blocks)
    return f"{text} ± {scores.text(half, digits=2, share=share)}"


def _gaps(drawn: Drawn, number: int) -> NDArray[np.float32]:
    return np.abs(drawn.images[number].astype(np.float32) - drawn.images[0].astype(np.float32))


def _figures(drawn: Drawn, apart: NDArray[np.float64]) -> list[tuple[str, str, str]]:
    """The few numbers: name, number, context."""
    usual, pair = drawn.usual, len(drawn.names) == 2
    context = f"grey levels of 255, half of the {'pairs' if pair else 'seeds'} differ by more"
    if usual is not None:
        context += f"; two images of other seeds: {usual:.3g}"
    equal = int((apart == 0).sum())
    return [
        (
            "Pairs" if pair else "Seeds",
            f"{len(apart):,}",
            "each from one seed" if pair else "drawn by every model",
        ),
        ("Median difference", f"{np.median(apart):.3g}", context),
        ("Largest difference", f"{apart.max():.3g}", "of any pair" if pair else f"from {drawn.names[0]}"),
        ("Equal pairs" if pair else "Equal in all models", f"{equal:,}", "in every pixel"),
    ]


def _differences(drawn: Drawn, number: int) -> tuple[str, str, str, str]:
    """Name of a model, its median and largest difference from the reference, and how many images are equal."""
    apart = drawn.apart(number)
    return drawn.names[number], f"{np.median(apart):.3g}", f"{apart.max():.3g}", f"{int((apart == 0).sum()):,}"


def _rows(drawn: Drawn, apart: NDArray[np.float64]) -> list[tuple[str, str, str, str]]:
    """Class, images, median and largest difference; empty without classes."""
    found = []
    for number, name in enumerate(drawn.classes):
        own = apart[drawn.labels == number]
        if len(own):
            found.append((name, f"{len(own):,}", f"{np.median(own):.3g}", f"{own.max():.3g}"))
    return found


def _sheet(drawn: Drawn, chosen: NDArray[np.int64], most: float, title: str) -> Picture:
    """The images of each model one above the other for the chosen seeds; under a pair, where its two differ."""
    difference = _gaps(drawn, 1) if len(drawn.names) == 2 else None
    rows: list[sheets.Row] = []
    groups: list[int] = []
    for start in range(0, len(chosen), COLUMNS):
        some = chosen[start : start + COLUMNS]
        groups.append(len(rows))
        rows += [
            sheets.Row([each[i] for i in some], name) for name, each in zip(drawn.names, drawn.images, strict=True)
        ]
        if difference is not None:
            rows.append(sheets.Row([uncertainty.heat(difference[i], most) for i in some], "difference"))
    under = " and their difference" if difference is not None else ""
    alt = f"{title}: {len(chosen)} images of each of {', '.join(drawn.names)}, one above the other by seed{under}"
    return Picture(sheets.sheet(rows, row_groups=groups), title, "", alt)
