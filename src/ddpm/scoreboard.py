"""The table that the gate judges by: a score of the candidate beside the champion's, and the limit that it has."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table of scores. floor: the same number for real images; ok None: shown, not judged."""

    name: str
    candidate: float | None
    champion: float | None
    floor: float | None
    limit: str
    ok: bool | None


def guarded(candidate: Mapping[str, Any], champion: Mapping[str, Any] | None) -> tuple[Row, ...]:
    """The scores that no gain in FID may cost."""
    floors = candidate.get("floors", {})
    kid, recall = (number(floors.get(key, {}), "heldout") for key in ("kid", "recall"))
    return (
        row("KID", "kid", candidate, champion, kid),
        row("recall", "recall", candidate, champion, recall),
        row("memorisation ratio", "memorisation_ratio", candidate, champion),
    )


def limited(
    rows: tuple[Row, ...],
    kid_error: float,
    kid_tolerance: float,
    recall_tolerance: float,
    memorisation_tolerance: float,
) -> tuple[Row, ...]:
    """The guarded rows, each with how far from the champion's it may be.

    KID of a good model is near 0, where a share of it is less than its noise: two standard errors are always allowed.
    A memorisation ratio above 1 says that samples lie further from the training images than new images do, so coming
    down to 1 is no loss.
    """
    kid, recall, memorisation = rows
    if kid.champion is not None:
        kid = _judged(kid, most=kid.champion + max(kid_tolerance * abs(kid.champion), 2 * kid_error))
    if recall.champion is not None:
        recall = _judged(recall, least=recall.champion - recall_tolerance)
    if memorisation.champion is not None:
        memorisation = _judged(memorisation, least=min(memorisation.champion, 1.0) - memorisation_tolerance)
    return kid, recall, memorisation


def row(
    name: str,
    key: str,
    candidate: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    floor: float | None = None,
    *,
    most: float | None = None,
    least: float | None = None,
) -> Row:
    """One score beside the champion's, judged when it has a limit."""
    theirs = None if champion is None else number(champion, key)
    return _judged(Row(name, number(candidate, key), theirs, floor, "", None), most=most, least=least)


def _judged(row: Row, *, most: float | None = None, least: float | None = None) -> Row:
    """The row with a limit; a score that is missing does not keep it."""
    if most is not None:
        return replace(row, limit=f"at most {most:g}", ok=row.candidate is not None and row.candidate <= most)
    if least is not None:
        return replace(row, limit=f"at least {least:g}", ok=row.candidate is not None and row.candidate >= least)
    return row


def number(metrics: Mapping[str, Any], key: str) -> float | None:
    """A finite number, or None."""
    value = metrics.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
