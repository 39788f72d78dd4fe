"""Samples of champion and candidate from equal seeds, side by side in one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.imaging import sheets
from ddpm.imaging.pixels import Pixels
from ddpm.report import html, uncertainty
from ddpm.report.picture import Picture

COLUMNS = 8  # pairs per row
NAMES = ("champion", "candidate", "difference")


@dataclass(frozen=True)
class Pairs:
    """Images uint8 (N, H, W, C) of both models, image i from one seed and label (N,), -1 for none."""

    champion: Pixels
    candidate: Pixels
    labels: NDArray[np.int64]
    classes: Sequence[str]

    @property
    def differences(self) -> NDArray[np.float64]:
        """Root mean square difference (N,) of each pair, in grey levels (0 to 255)."""
        return rms(self.champion, self.candidate)

    @property
    def between_seeds(self) -> float | None:
        """Median difference between two of the champion's images of one class from different seeds."""
        found = [
            rms(self.champion[members], np.roll(self.champion[members], 1, axis=0))
            for members in (np.flatnonzero(self.labels == label) for label in np.unique(self.labels))
            if len(members) > 1
        ]
        return float(np.median(np.concatenate(found))) if found else None


@dataclass(frozen=True)
class Description:
    """Text of the page. verdict: the gate's verdict on the candidate; "" without one."""

    name: str
    champion: int
    candidate: int
    verdict: str
    reasons: str
    conditions: Mapping[str, str]
    commands: Sequence[tuple[str, str]]


def page(pairs: Pairs, description: Description) -> str:
    """Render the page as HTML."""
    differences = pairs.differences
    most = min(255.0, uncertainty.top(_gaps(pairs)))
    farthest = np.argsort(-differences, kind="stable")[:COLUMNS]
    top = [("Most different pairs", _sheet(pairs, farthest, most, "The pairs that differ most, of all"))]
    by_class = [
        (f"Class {name}", _sheet(pairs, np.flatnonzero(pairs.labels == number), most, f"Class {name}"))
        for number, name in enumerate(pairs.classes)
        if (pairs.labels == number).any()
    ]
    everything = by_class or [("All pairs", _sheet(pairs, np.arange(len(differences)), most, "All pairs"))]
    return html.fill(
        "canary.html.jinja", description=description, figures=_figures(pairs, differences), most=top, every=everything,
        rows=_rows(pairs, differences), scale=f"{most:g}", count=len(differences),
    )  # fmt: skip


def rms(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Compute the root mean square difference (N,) of images (N, H, W, C), in grey levels."""
    gaps = first.astype(np.float64) - second.astype(np.float64)
    found: NDArray[np.float64] = np.sqrt(np.square(gaps).mean(axis=(1, 2, 3)))
    return found


def _gaps(pairs: Pairs) -> NDArray[np.float32]:
    return np.abs(pairs.candidate.astype(np.float32) - pairs.champion.astype(np.float32))


def _figures(pairs: Pairs, differences: NDArray[np.float64]) -> list[tuple[str, str, str]]:
    """Format the headline numbers: name, number, context."""
    between_seeds = pairs.between_seeds
    context = "grey levels of 255; half of the pairs differ by more"
    if between_seeds is not None:
        context += f"; images of different seeds: {between_seeds:.3g}"
    equal = int((differences == 0).sum())
    return [
        ("Pairs", f"{len(differences):,}", "each from one seed"),
        ("Median difference", f"{np.median(differences):.3g}", context),
        ("Largest difference", f"{differences.max():.3g}", "of any pair"),
        ("Equal pairs", f"{equal:,}", "in every pixel"),
    ]


def _rows(pairs: Pairs, differences: NDArray[np.float64]) -> list[tuple[str, str, str, str]]:
    """Format class, pairs, median and largest difference; empty without classes."""
    found = []
    for number, name in enumerate(pairs.classes):
        own = differences[pairs.labels == number]
        if len(own):
            found.append((name, f"{len(own):,}", f"{np.median(own):.3g}", f"{own.max():.3g}"))
    return found


def _sheet(pairs: Pairs, chosen: NDArray[np.int64], most: float, title: str) -> Picture:
    """Draw the chosen pairs: champion above, candidate below, then their difference."""
    gaps = _gaps(pairs)
    rows: list[sheets.Row] = []
    groups: list[int] = []
    for start in range(0, len(chosen), COLUMNS):
        some = chosen[start : start + COLUMNS]
        sets: list[list[Any]] = [
            [pairs.champion[i] for i in some], [pairs.candidate[i] for i in some],
            [uncertainty.heat(gaps[i], most) for i in some],
        ]  # fmt: skip
        groups.append(len(rows))
        rows += [sheets.Row(images, name) for images, name in zip(sets, NAMES, strict=True)]
    alt = f"{title}: {len(chosen)} images of the champion, each above the candidate's of its seed and their difference"
    return Picture(sheets.sheet(rows, row_groups=groups), title, "", alt)
