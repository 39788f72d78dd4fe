"""Samples of several models from equal seeds, side by side in one HTML file, with scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ddpm.common.units import score_number
from ddpm.evaluation.score_record import ScoreRecord, fid_name
from ddpm.imaging import sheets
from ddpm.imaging.pixels import Pixels
from ddpm.report import html, scores, uncertainty
from ddpm.report.picture import Picture

COLUMNS = 8  # seeds per row
CONFIDENCE = 0.95
TONES = {"better": "good", "first": "good", "worse": "bad", "regressed": "bad", "outside limits": "bad"}
"""Style of a panel by verdict."""


@dataclass(frozen=True)
class Drawn:
    """Images uint8 (N, H, W, C) of each model, image i from one seed and label.

    names: of the models, the reference first; labels (N,): indices of `classes`, -1 for none.
    """

    names: Sequence[str]
    images: Sequence[Pixels]
    labels: NDArray[np.int64]
    classes: Sequence[str]

    def differences(self, number: int) -> NDArray[np.float64]:
        """Root mean square difference (N,) of a model's images from the reference's, in grey levels (0 to 255)."""
        return rms(self.images[0], self.images[number])

    @property
    def between_seeds(self) -> float | None:
        """Median difference between two of the reference's images of one class from different seeds."""
        first = self.images[0]
        found = [
            rms(first[members], np.roll(first[members], 1, axis=0))
            for members in (np.flatnonzero(self.labels == label) for label in np.unique(self.labels))
            if len(members) > 1
        ]
        return float(np.median(np.concatenate(found))) if found else None


@dataclass(frozen=True)
class Context:
    """Text and scores of the page.

    title: the heading; paragraph: a verdict and its reasons, "" for none; records: scores of each model, None without
    an evaluation; conditions: of the samples, by name; commands: purpose and command.
    """

    title: str
    paragraph: tuple[str, str]
    records: Sequence[ScoreRecord | None]
    conditions: Mapping[str, str]
    commands: Sequence[tuple[str, str]]


def page(drawn: Drawn, context: Context) -> str:
    """Render the page as HTML."""
    gaps = [_gaps(drawn, number) for number in range(1, len(drawn.names))]
    most = min(255.0, max(map(uncertainty.top, gaps)))
    differences = np.max([drawn.differences(number) for number in range(1, len(drawn.names))], axis=0)
    farthest = np.argsort(-differences, kind="stable")[:COLUMNS]
    by_class = [
        (f"Class {name}", sheet(drawn, np.flatnonzero(drawn.labels == number), most, f"Class {name}"))
        for number, name in enumerate(drawn.classes)
        if (drawn.labels == number).any()
    ]
    all_seeds = "All pairs" if len(drawn.names) == 2 else "All seeds"
    everything = by_class or [("", sheet(drawn, np.arange(len(differences)), most, all_seeds))]
    return html.fill(
        "model_comparison.html.jinja", context=context, names=drawn.names, figures=_figures(drawn, differences),
        first=sheet(drawn, one_of_each(drawn), most, "The same seeds, a row for each model", difference=False),
        most=sheet(drawn, farthest, most, "The images that differ most, of all"), tone=tone(context.paragraph[0]),
        every=everything, everything=f"All {len(differences)} {'pairs' if len(drawn.names) == 2 else 'seeds'}",
        models=[_model_row(drawn, number) for number in range(1, len(drawn.names))], rows=_rows(drawn, differences),
        scores=score_rows(context.records), unequal=unequal(context.records), scale=score_number(most),
    )  # fmt: skip


def rms(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Compute the root mean square difference (N,) of images (N, H, W, C), in grey levels."""
    gaps = first.astype(np.float64) - second.astype(np.float64)
    found: NDArray[np.float64] = np.sqrt(np.square(gaps).mean(axis=(1, 2, 3)))
    return found


def tone(verdict: str) -> str:
    """Return the style of a verdict's panel."""
    return TONES.get(verdict, "plain")


def one_of_each(drawn: Drawn) -> NDArray[np.int64]:
    """The first seed of each class, at most COLUMNS, in seed order; without classes, the first seeds."""
    if not len(drawn.classes) or (drawn.labels < 0).all():
        return np.arange(min(COLUMNS, len(drawn.labels)))
    _, found = np.unique(drawn.labels, return_index=True)
    return np.sort(found[:COLUMNS]).astype(np.int64)


def score_rows(records: Sequence[ScoreRecord | None]) -> list[tuple[str, str, str, list[str]]]:
    """Format the scores that at least one model has: name, arrow, better direction, values with intervals by model.

    FID is named with its conditions if they are the same for all.
    """
    found = []
    fids = {fid_name(each.conditions) for each in records if each}
    names = {"fid": fids.pop()} if len(fids) == 1 else {}
    for kind in scores.KINDS:
        values = [with_interval(each, kind.key, share=kind.share) if each else "" for each in records]
        if any(values):
            found.append((names.get(kind.key, kind.name), *scores.ARROWS[kind.better], values))
    return found


def unequal(records: Sequence[ScoreRecord | None]) -> list[str]:
    """List the conditions, other than the weights, in which the evaluations differ: then the scores do not compare."""
    conditions = [each.conditions for each in records if each]
    names = dict.fromkeys(name for each in conditions for name in each if name != "weights_sha256")
    return [name for name in names if any(each.get(name) != conditions[0].get(name) for each in conditions)]


def with_interval(record: ScoreRecord, key: str, *, share: bool) -> str:
    """Format a score and the half width of its interval, by Student's t from the deviation between seed blocks."""
    text = score_number(record.value(key), share=share)
    deviation, blocks = record.spread.get(key), len(record.fid_blocks)
    if not text or deviation is None or blocks < 2:
        return text
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, blocks - 1)) * deviation / math.sqrt(blocks)
    return f"{text} ± {score_number(half, digits=2, share=share)}"


def _gaps(drawn: Drawn, number: int) -> NDArray[np.float32]:
    return np.abs(drawn.images[number].astype(np.float32) - drawn.images[0].astype(np.float32))


def _figures(drawn: Drawn, differences: NDArray[np.float64]) -> list[tuple[str, str, str]]:
    """Format the headline numbers: name, number, context."""
    between_seeds, pair = drawn.between_seeds, len(drawn.names) == 2
    context = f"grey levels of 255; half of the {'pairs' if pair else 'seeds'} differ by more"
    if between_seeds is not None:
        context += f"; images of different seeds: {score_number(between_seeds)}"
    equal = int((differences == 0).sum())
    return [
        (
            "Pairs" if pair else "Seeds",
            f"{len(differences):,}",
            "each from one seed" if pair else "drawn by every model",
        ),
        ("Median difference", _range(differences)[0], context),
        (
            "Largest difference",
            _range(differences)[1],
            "of any pair" if pair else f"from {drawn.names[0]}",
        ),
        ("Equal pairs" if pair else "Equal in all models", f"{equal:,}", "in every pixel"),
    ]


def _model_row(drawn: Drawn, number: int) -> tuple[str, str, str, str]:
    """Format a model's name, median and largest difference from the reference, and number of equal images."""
    found = drawn.differences(number)
    return drawn.names[number], *_range(found), f"{int((found == 0).sum()):,}"


def _range(differences: NDArray[np.float64]) -> tuple[str, str]:
    """Format the median and the largest difference."""
    return score_number(float(np.median(differences))), score_number(float(differences.max()))


def _rows(drawn: Drawn, differences: NDArray[np.float64]) -> list[tuple[str, str, str, str]]:
    """Format class, images, median and largest difference; empty without classes."""
    found = []
    for number, name in enumerate(drawn.classes):
        own = differences[drawn.labels == number]
        if len(own):
            found.append((name, f"{len(own):,}", *_range(own)))
    return found


def sheet(drawn: Drawn, chosen: NDArray[np.int64], most: float, title: str, *, difference: bool = True) -> Picture:
    """Draw the chosen seeds, a row for each model; for two models also their difference, unless it is not wanted."""
    gaps = _gaps(drawn, 1) if difference and len(drawn.names) == 2 else None
    rows: list[sheets.SheetRow] = []
    groups: list[int] = []
    for start in range(0, len(chosen), COLUMNS):
        some = chosen[start : start + COLUMNS]
        groups.append(len(rows))
        rows += [
            sheets.SheetRow([each[i] for i in some], name) for name, each in zip(drawn.names, drawn.images, strict=True)
        ]
        if gaps is not None:
            rows.append(sheets.SheetRow([uncertainty.heat(gaps[i], most) for i in some], "difference"))
    under = " and their difference" if gaps is not None else ""
    alt = f"{title}: {len(chosen)} images of each of {', '.join(drawn.names)}, a row for each model{under}"
    return Picture(sheets.sheet(rows, row_groups=groups), title, "", alt)
