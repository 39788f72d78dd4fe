"""Two models side by side from equal seeds, as one HTML file: what would change if the candidate were champion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.imaging import sheets
from ddpm.imaging.pixels import Pixels
from ddpm.report import html, uncertainty
from ddpm.report.picture import Picture

COLUMNS = 8  # pairs beside each other
NAMES = ("champion", "candidate", "difference")


@dataclass(frozen=True)
class Pairs:
    """Images uint8 (N, H, W, C) of both models, image i from the same seed and for the same label (N,), -1 for none."""

    champion: Pixels
    candidate: Pixels
    labels: NDArray[np.int64]
    classes: Sequence[str]

    @property
    def apart(self) -> NDArray[np.float64]:
        """Root mean square difference (N,) of each pair, in grey levels (0 to 255)."""
        return rms(self.champion, self.candidate)

    @property
    def usual(self) -> float | None:
        """The same between two of the champion's images from different seeds, in the median; of one class each."""
        found = [
            rms(self.champion[members], np.roll(self.champion[members], 1, axis=0))
            for members in (np.flatnonzero(self.labels == label) for label in np.unique(self.labels))
            if len(members) > 1
        ]
        return float(np.median(np.concatenate(found))) if found else None


@dataclass(frozen=True)
class Description:
    """What is known besides the images. verdict: the verdict of the gate on the candidate; "" without one."""

    name: str
    champion: int
    candidate: int
    verdict: str
    reasons: str
    conditions: Mapping[str, str]
    commands: Sequence[tuple[str, str]]


def page(pairs: Pairs, told: Description) -> str:
    """The page as HTML."""
    apart = pairs.apart
    most = min(255.0, uncertainty.top(_gaps(pairs)))
    farthest = np.argsort(-apart, kind="stable")[:COLUMNS]
    shares = [("Most different pairs", _sheet(pairs, farthest, most, "The pairs that differ most, of all"))]
    by_class = [
        (f"Class {name}", _sheet(pairs, np.flatnonzero(pairs.labels == number), most, f"Class {name}"))
        for number, name in enumerate(pairs.classes)
        if (pairs.labels == number).any()
    ]
    everything = by_class or [("All pairs", _sheet(pairs, np.arange(len(apart)), most, "All pairs"))]
    return html.fill(
        "canary.html.jinja", told=told, figures=_figures(pairs, apart), most=shares, every=everything,
        rows=_rows(pairs, apart), scale=f"{most:g}", count=len(apart),
    )  # fmt: skip


def rms(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Root mean square difference (N,) of images (N, H, W, C), in grey levels."""
    gaps = first.astype(np.float64) - second.astype(np.float64)
    found: NDArray[np.float64] = np.sqrt(np.square(gaps).mean(axis=(1, 2, 3)))
    return found


def _gaps(pairs: Pairs) -> NDArray[np.float32]:
    return np.abs(pairs.candidate.astype(np.float32) - pairs.champion.astype(np.float32))


def _figures(pairs: Pairs, apart: NDArray[np.float64]) -> list[tuple[str, str, str]]:
    """The few numbers: name, number, context."""
    usual = pairs.usual
    context = "grey levels of 255, half of the pairs differ by more"
    if usual is not None:
        context += f"; two images of other seeds: {usual:.3g}"
    equal = int((apart == 0).sum())
    return [
        ("Pairs", f"{len(apart):,}", "each from one seed"),
        ("Median difference", f"{np.median(apart):.3g}", context),
        ("Largest difference", f"{apart.max():.3g}", "of any pair"),
        ("Equal pairs", f"{equal:,}", "in every pixel"),
    ]


def _rows(pairs: Pairs, apart: NDArray[np.float64]) -> list[tuple[str, str, str, str]]:
    """Class, pairs, median and largest difference; empty without classes."""
    found = []
    for number, name in enumerate(pairs.classes):
        own = apart[pairs.labels == number]
        if len(own):
            found.append((name, f"{len(own):,}", f"{np.median(own):.3g}", f"{own.max():.3g}"))
    return found


def _sheet(pairs: Pairs, chosen: NDArray[np.int64], most: float, what: str) -> Picture:
    """Champion above, candidate below, and where they differ, for the chosen pairs."""
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
    alt = f"{what}: {len(chosen)} images of the champion, each above the candidate's of its seed and their difference"
    return Picture(sheets.sheet(rows, row_groups=groups), what, "", alt)
