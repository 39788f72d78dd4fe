"""The decision whether a candidate replaces the champion: pure, from numbers to a verdict with its reasons."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["first", "better", "too close", "worse", "outside limits", "refused", "unchanged", "withdrawn"]
Answer = Literal["rejected", "expired"]
"""Of a person who was asked about a verdict that would promote; never a decision of this module."""
IDENTITY = ("weights_sha256",)  # the only condition that differs between two models measured alike


@dataclass(frozen=True)
class Row:
    """One line of the table of scores. floor: the same number for real images; ok None: shown, not judged."""

    name: str
    candidate: float | None
    champion: float | None
    floor: float | None
    limit: str
    ok: bool | None


@dataclass(frozen=True)
class Verdict:
    """What was decided, why, and the numbers beside each other."""

    verdict: Outcome | Answer
    promote: bool
    reasons: tuple[str, ...]
    rows: tuple[Row, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a record."""
        return asdict(self)


def decide(
    candidate: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    *,
    max_fid: float | None = None,
    min_inception_score: float | None = None,
    min_class_share: float | None = None,
    min_improvement: float = 0.0,
    withdrawn: str | None = None,
) -> Verdict:
    """Judge the candidate's evaluation (as in metrics.json) against limits and against the champion's, measured alike.

    A limit of None does not apply. min_improvement: share of the champion's FID that the candidate's must be lower.
    withdrawn: why a person rolled this candidate back before; such a one is only promoted by a person.
    The verdict is `first` or `better` (promote), or else: `outside limits`, `worse`, `too close` (a gain below
    min_improvement), `unchanged` (the champion's own weights), `withdrawn`, `refused` (numbers missing, or measured
    under different conditions and so not to be compared).
    """
    rows = (
        _row("FID", "fid", "fid_floor", candidate, champion, max_fid, "at most"),
        _row("Inception Score", "inception_score", "inception_score_real", candidate, champion, min_inception_score),
        _row("smallest class share", "class_share_min", None, candidate, champion, min_class_share),
        _row("class accuracy", "class_accuracy", None, candidate, champion, None),
    )
    outcome, reasons = _alone(candidate, champion, rows, withdrawn) or _against(candidate, champion, min_improvement)
    shown = tuple(row for row in rows if row.ok is not None or row.candidate is not None)
    return Verdict(outcome, outcome in {"first", "better"}, reasons, shown)


def _alone(
    candidate: Mapping[str, Any], champion: Mapping[str, Any] | None, rows: tuple[Row, ...], withdrawn: str | None
) -> tuple[Outcome, tuple[str, ...]] | None:
    """What can be said before any comparison; None when the candidate deserves one."""
    if champion is not None and _same_weights(candidate, champion):
        return "unchanged", ("the candidate has the champion's own weights",)
    if withdrawn is not None:
        return "withdrawn", (f"it was rolled back ({withdrawn}); only a person promotes it again: `ddpm promote`",)
    missing = _missing(candidate, rows)
    if missing:
        return "refused", tuple(missing)
    failures = tuple(f"{row.name} is {row.candidate:.4g}; the limit is {row.limit}" for row in rows if row.ok is False)
    return ("outside limits", failures) if failures else None


def _against(
    candidate: Mapping[str, Any], champion: Mapping[str, Any] | None, min_improvement: float
) -> tuple[Outcome, tuple[str, ...]]:
    """The comparison, if the two were measured alike."""
    if champion is None:
        return "first", ("it is within the limits and there is no champion yet",)
    differences = _differences(candidate.get("conditions", {}), champion.get("conditions", {}))
    if differences:
        return "refused", ("candidate and champion were measured under different conditions", *differences)
    if _number(champion, "fid") is None:
        return "refused", ("the champion's evaluation has no FID, so there is nothing to compare with",)
    outcome, reason = _compared(candidate["fid"], champion["fid"], min_improvement)
    return outcome, (reason,)


def _compared(candidate: float, champion: float, min_improvement: float) -> tuple[Outcome, str]:
    """By FID, relative to the champion's."""
    numbers = f"FID {candidate:.4g} against the champion's {champion:.4g}"
    if candidate > champion:
        return "worse", f"{numbers}: {_percent(candidate - champion, champion)} higher"
    gain = 0.0 if champion <= 0 else (champion - candidate) / champion
    text = f"{numbers}: {gain:.1%} lower"
    if candidate < champion and gain >= min_improvement:
        return "better", f"{text}; at least {min_improvement:.1%} was asked"
    return "too close", f"{text}, and at least {min_improvement:.1%} is asked"


def _row(
    name: str,
    key: str,
    floor: str | None,
    candidate: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    limit: float | None,
    side: Literal["at most", "at least"] = "at least",
) -> Row:
    """One score beside the champion's, judged when it has a limit."""
    value = _number(candidate, key)
    ok = None
    if limit is not None:
        ok = value is not None and (value <= limit if side == "at most" else value >= limit)
    return Row(
        name=name,
        candidate=value,
        champion=None if champion is None else _number(champion, key),
        floor=None if floor is None else _number(candidate, floor),
        limit="" if limit is None else f"{side} {limit:g}",
        ok=ok,
    )


def _number(metrics: Mapping[str, Any], key: str) -> float | None:
    """A finite number, or None."""
    value = metrics.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _missing(candidate: Mapping[str, Any], rows: tuple[Row, ...]) -> list[str]:
    """A score that is needed and not a finite number."""
    reasons = []
    if _number(candidate, "fid") is None:
        reasons.append(f"the candidate's FID is {candidate.get('fid', 'missing')}, which is no score")
    return reasons + [
        f"{row.name} has a limit ({row.limit}) and the evaluation has no such score; or set no limit"
        for row in rows
        if row.limit and row.candidate is None and row.name != "FID"
    ]


def _same_weights(candidate: Mapping[str, Any], champion: Mapping[str, Any]) -> bool:
    ours, theirs = (each.get("conditions", {}).get("weights_sha256") for each in (candidate, champion))
    return ours is not None and ours == theirs


def _differences(candidate: Mapping[str, Any], champion: Mapping[str, Any]) -> list[str]:
    """Each condition that is not the same on both sides, in words."""
    keys = [key for key in dict.fromkeys([*candidate, *champion]) if key not in IDENTITY]
    return [
        f"{key}: candidate {candidate.get(key, 'nothing')}, champion {champion.get(key, 'nothing')}"
        for key in keys
        if key not in candidate or key not in champion or candidate[key] != champion[key]
    ]


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole > 0 else "infinitely"
