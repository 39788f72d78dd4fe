"""Trials and the model they were compared with, in one HTML file: samples, scores, curves and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ddpm.report import html, model_comparison, plots
from ddpm.report.model_comparison import Drawn
from ddpm.report.picture import Picture


@dataclass(frozen=True)
class Judged:
    """A trial's verdict. name: that of its row; tone: style of the panel; summary: one line without it."""

    name: str
    tone: str
    summary: str
    reasons: str


@dataclass(frozen=True)
class Line:
    """A row of the table: name, arrow, the arrow's meaning, and a value for each model."""

    name: str
    arrow: str
    better: str
    values: Sequence[str]


@dataclass(frozen=True)
class Context:
    """Text and numbers of the page.

    names: of the models, the reference first; interval: what ± is; curves: (images, held-out loss) by model;
    commands: purpose and command.
    """

    title: str
    names: Sequence[str]
    judged: Sequence[Judged]
    lines: Sequence[Line]
    interval: str
    warning: str
    curves: Mapping[str, Sequence[tuple[float, float]]]
    conditions: Mapping[str, str]
    commands: Sequence[tuple[str, str]]


def page(drawn: Drawn, context: Context) -> str:
    """Render the page as HTML."""
    count = len(drawn.labels)
    first = model_comparison.one_of_each(drawn)
    curves = {name: points for name, points in context.curves.items() if points}
    plot = Picture(plots.losses(curves), "Held-out loss", "", _described(curves)) if curves else None
    return html.fill(
        "trial_page.html.jinja", context=context, plot=plot, count=count,
        first=model_comparison.sheet(drawn, first, 255.0, "The same seeds, a row for each model", difference=False),
        every=model_comparison.sheet(drawn, np.arange(count), 255.0, "All seeds", difference=False),
    )  # fmt: skip


def _described(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    ends = ", ".join(f"{name} ends at {points[-1][1]:.4g}" for name, points in curves.items())
    return f"Held-out loss over the training images seen: {ends}."
