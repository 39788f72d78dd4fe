"""Proposal of parameters that suit a series, with reasons."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ddpm.cli.proposal import Change, changed, of_name, of_net, switch_kind
from ddpm.config.params import Params
from ddpm.config.sections.pipeline import RELATIVE_LIMITS
from ddpm.config.sections.prepare import Series
from ddpm.data.series.survey import SeriesSurvey

WINDOWS = (64, 32, 16)
ROWS_PER_WINDOW = 40
"""Rows that the table must have, in windows: ten blocks of time."""
MOST_WINDOWS = 20_000
WINDOWS_PER_COLUMN = 30
"""Disjoint windows from which columns are learned together."""
WANDERING = 0.98
"""Autocorrelation of successive values from which a column wanders, as prices do."""
UNIT = 1.0
CLASS_LIMITS = ("min_class_skill", "min_class_share", "min_inception_score")


def propose(found: SeriesSurvey, now: Params, name: str) -> list[Change]:
    """List the changes of the current parameters `now` that suit the series `found` in a file called `name`."""
    window = next((each for each in WINDOWS if found.rows >= ROWS_PER_WINDOW * each), WINDOWS[-1])
    proposed = [
        *switch_kind(now, Series()),
        *_of_table(found, window),
        *_for_series(),
        *of_net(window, now),
        *of_name(name, "series"),
        *_of_gate(now),
    ]
    return changed(proposed, now)


def _of_table(found: SeriesSurvey, window: int) -> Iterator[Change]:
    """Propose the section prepare."""
    separate = _layout(found, window)[0] == "separate"
    total = found.rows * (len(found.cleaned.table.columns) if separate else 1)
    stride = -(-total // MOST_WINDOWS)
    yield Change("prepare.window", window, f"{found.rows // window:,} of them fit side by side")
    yield Change(
        "prepare.stride", stride, f"about {total // stride:,} windows" + (", which overlap" if stride < window else "")
    )
    yield Change("prepare.columns", found.columns, "those of numbers" if found.columns else "all are of numbers")
    yield Change("prepare.layout", *_layout(found, window))
    yield Change("prepare.transform", *_transform(found))
    yield Change("prepare.missing", found.missing, "some rows lack a value" if found.missing == "drop" else "none is")
    duplicates = "some dates are repeated" if found.duplicates == "last" else "no date is repeated"
    yield Change("prepare.duplicates", found.duplicates, duplicates)
    yield Change("prepare.dates", found.form.dates, "as in the file")
    yield Change("prepare.decimal", found.form.decimal, "as in the file")


def _layout(found: SeriesSurvey, window: int) -> tuple[str, str]:
    """Return the layout, and the reason."""
    columns, disjoint = len(found.cleaned.table.columns), found.rows // window
    if columns == 1 or disjoint >= WINDOWS_PER_COLUMN * columns:
        return "joint", "a window has all columns"
    return "separate", f"{disjoint:,} windows side by side are few for {columns} columns together"


def _transform(found: SeriesSurvey) -> tuple[str, str]:
    """Return the transform, and the reason."""
    values = found.cleaned.table.values
    if min(np.corrcoef(column[:-1], column[1:])[0, 1] for column in values.T) < WANDERING:
        return "none", "the values return to their mean"
    if found.positive:
        return "log-returns", "the values wander and are positive, as prices do"
    return "differences", "the values wander"


def _for_series() -> Iterator[Change]:
    """Propose what series need in other sections."""
    yield Change("features.extractor", "auto", "kernels")
    yield Change("diffusion.sigma_data", UNIT, "series are standardised")
    yield Change("diffusion.condition", "none", "for images")
    yield Change("train.flip", False, "time has a direction")
    yield Change("sample.clamp", False, "series have no range")
    for key, off in (("guidance", 1.0), ("guidance_interval", None), ("guidance_rescale", 0.0)):
        yield Change(f"sample.{key}", off, "guidance needs labels")


def _of_gate(now: Params) -> Iterator[Change]:
    """Propose limits that suit any series; those of classes and images have no meaning."""
    yield Change("promote.max_fid", None, "the limit was for other data; set one after the first run")
    limits: dict[str, Any] = dict.fromkeys(CLASS_LIMITS)
    if all(getattr(now.promote, key) is None for key in RELATIVE_LIMITS):
        limits = dict(RELATIVE_LIMITS) | limits
    for key, limit in limits.items():
        yield Change(f"promote.{key}", limit, "there are no classes" if limit is None else "relative to real series")
