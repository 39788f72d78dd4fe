"""Promotion gate: decides from scores alone whether a candidate replaces the champion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ddpm.common.units import score_number
from ddpm.evaluation import score_table, score_text
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.evaluation.score_table import Limits, ScoreRow, row

if TYPE_CHECKING:
    from ddpm.metrics.paired_test import Comparison

Decision = Literal[
    "first", "better", "inconclusive", "worse", "regressed", "outside limits", "refused", "unchanged", "withdrawn"
]
Answer = Literal["rejected", "expired"]
"""Result of a required approval that was not given; never a decision of this module."""
PROMOTES = ("first", "better")
NO_LIMITS = "no limits are set (section promote of params.yaml)"
SEEDS = "promote.min_improvement: another training seed of the same recipe also changes FID"
IDENTITY = ("weights_sha256",)  # the only condition that may differ between two models that are compared


@dataclass(frozen=True)
class Verdict:
    """The decision with its reasons, the table of scores, and the paired comparison of FID over seed blocks."""

    verdict: Decision | Answer
    promote: bool
    reasons: tuple[str, ...]
    rows: tuple[ScoreRow, ...]
    comparison: "Comparison | None" = None

    def as_json(self) -> dict[str, Any]:
        """Convert to plain values for a record."""
        return asdict(self)


def decide(
    candidate: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    *,
    max_fid: float | None = None,
    min_inception_score: float | None = None,
    min_class_share: float | None = None,
    max_fid_ratio: float | None = None,
    min_recall_ratio: float | None = None,
    min_class_skill: float | None = None,
    min_memorisation_ratio: float | None = None,
    min_improvement: float = 0.0,
    confidence: float = 0.95,
    kid_tolerance: float = 0.1,
    recall_tolerance: float = 0.05,
    memorisation_tolerance: float = 0.05,
    withdrawn: str | None = None,
) -> Verdict:
    """Judge the candidate's evaluation (as in metrics.json) against limits and against the champion's.

    A limit of None does not apply; ratios and skill are relative to real images (`score_table.Limits`).
    min_improvement: relative reduction of the champion's FID that is required. confidence: level of the interval of
    the FID difference, paired by seed block. Tolerances: permitted regressions against the champion, relative for KID,
    absolute for recall and memorisation ratio. champion: None if there is none; `{"refused": reason}` if it cannot be
    scored under the candidate's conditions. withdrawn: the reason of an earlier rollback of this candidate, which only
    `ddpm promote` can promote again.

    Verdicts that promote: `first`, `better`. Others: `worse` (the whole interval is above 0), `inconclusive` (the
    interval includes 0 or has too few blocks, or the gain is below min_improvement), `regressed` (FID is better, but
    KID, recall or memorisation is not within its tolerance), `outside limits`, `unchanged` (the champion's weights),
    `withdrawn`, `refused` (scores are missing or were measured under different conditions).
    """
    ours = ScoreRecord.from_json(candidate)
    theirs = None if champion is None else ScoreRecord.from_json(champion)
    limits = Limits(max_fid_ratio, min_recall_ratio, min_class_skill, min_memorisation_ratio)
    (fid_ratio, accuracy), guarded = score_table.relative(ours, theirs, limits)
    limited = (
        row("fid", ours, theirs, most=max_fid),
        fid_ratio,
        row("inception_score", ours, theirs, least=min_inception_score),
        row("class_share_min", ours, theirs, least=min_class_share),
        accuracy,
    )
    found, compared = _without_comparison(ours, theirs, (*limited, *guarded), withdrawn), None
    unlimited = not any(each.limit for each in (*limited, *guarded))
    if theirs is not None and not _same_weights(ours, theirs) and not _incomparable(ours, theirs):
        noise = _kid_noise(ours, theirs, confidence)
        guarded = score_table.limited(guarded, noise, kid_tolerance, recall_tolerance, memorisation_tolerance)
        compared = _compare(ours, theirs, confidence)
    decision, reasons = found or _against(ours, theirs, guarded, compared, min_improvement)
    if decision in PROMOTES and unlimited:
        reasons = (reasons[0] if decision == "better" else "there is no champion yet", NO_LIMITS)
    informational = row("heldout_gap", ours, theirs)
    rows = (limited[0], *guarded, *limited[1:], informational)
    shown = tuple(each for each in rows if each.ok is not None or each.candidate is not None)
    return Verdict(decision, decision in PROMOTES, reasons, shown, compared)


def _without_comparison(
    candidate: ScoreRecord, champion: ScoreRecord | None, rows: tuple[ScoreRow, ...], withdrawn: str | None
) -> tuple[Decision, tuple[str, ...]] | None:
    """Return a verdict that needs no comparison; None if the two must be compared."""
    if champion is not None and _same_weights(candidate, champion):
        return "unchanged", ("the candidate has the same weights as the champion",)
    if withdrawn is not None:
        return "withdrawn", (f"it was rolled back ({withdrawn}); only `ddpm promote` can promote it again",)
    missing = _missing(candidate, rows)
    if missing:
        return "refused", tuple(missing)
    failures = tuple(
        f"{each.name} is {score_text.failing(each.name, each.candidate, each.limit)}; the limit is {each.limit}"
        for each in rows
        if each.ok is False
    )
    return ("outside limits", failures) if failures else None


def _against(
    candidate: ScoreRecord,
    champion: ScoreRecord | None,
    guarded: Sequence[ScoreRow],
    compared: "Comparison | None",
    min_improvement: float,
) -> tuple[Decision, tuple[str, ...]]:
    """Compare the two if they were measured under equal conditions."""
    if champion is None:
        return "first", ("it is within the limits and there is no champion yet",)
    if problems := _incomparable(candidate, champion):
        return "refused", problems
    if candidate.fid is None or champion.fid is None:
        return "refused", ("candidate or champion has no FID, so they cannot be compared",)
    gain, numbers = _gain(candidate.fid, champion.fid)
    decision, reason = _by_blocks(compared, gain, numbers, min_improvement)
    worse = [
        f"{each.name} is {score_text.failing(each.name, each.candidate, each.limit)} against the champion's "
        f"{score_text.text(each.name, each.champion)}; the limit is {each.limit}"
        for each in guarded
        if each.ok is False
    ]
    if decision == "better" and worse:
        return "regressed", (*worse, reason)
    return decision, (reason,)


def _by_blocks(
    compared: "Comparison | None", gain: float, numbers: str, min_improvement: float
) -> tuple[Decision, str]:
    """Decide by the confidence interval of the difference, then by the size of the gain."""
    if compared is None:
        return "inconclusive", f"{numbers}; without seed blocks (evaluate.blocks) it may be chance"
    if not compared.valid:
        return "inconclusive", f"{numbers}; seed blocks (evaluate.blocks): {compared.validity}"
    interval = (
        f"over {compared.pairs} paired seed blocks the difference is {compared.difference:+.3g}, "
        f"{100 * compared.confidence:.4g}% confidence interval {compared.low:+.3g} to {compared.high:+.3g}"
    )
    if compared.low > 0:
        return "worse", f"{numbers}; {interval}"
    if compared.high >= 0:
        return "inconclusive", f"{numbers}; {interval}, which includes 0"
    reason = f"{numbers}, at least {min_improvement:.1%} required ({SEEDS}); {interval}"
    return "inconclusive" if gain <= 0 or gain < min_improvement else "better", reason


def _gain(candidate: float, champion: float) -> tuple[float, str]:
    """Compute the relative improvement of FID over the champion's, and a phrase with both numbers."""
    numbers = f"FID {score_number(candidate)} against the champion's {score_number(champion)}"
    if candidate > champion:
        return -1.0, f"{numbers}: {_percent(candidate - champion, champion)} higher"
    gain = 0.0 if champion <= 0 else (champion - candidate) / champion
    return gain, f"{numbers}: {gain:.1%} lower"


def _compare(candidate: ScoreRecord, champion: ScoreRecord, confidence: float) -> "Comparison | None":
    """Compare FID, candidate minus champion, by seed block; None without two blocks."""
    from ddpm.metrics.paired_test import compare  # imports scipy

    ours, theirs = candidate.fid_blocks, champion.fid_blocks
    return compare(ours, theirs, confidence=confidence) if min(len(ours), len(theirs)) > 1 else None


def _kid_noise(candidate: ScoreRecord, champion: ScoreRecord, confidence: float) -> float:
    """Compute the one-sided margin of the KID difference due to sampling, from paired subsets; 0 without two pairs.

    Both models are compared with the same real images in each subset, which cancels most of the noise in the standard
    error of a single KID.
    """
    from ddpm.metrics.paired_test import one_sided_margin

    ours, theirs = candidate.kid_subsets, champion.kid_subsets
    return one_sided_margin(ours, theirs, confidence) if len(ours) == len(theirs) > 1 else 0.0


def _missing(candidate: ScoreRecord, rows: tuple[ScoreRow, ...]) -> list[str]:
    """List required scores that are missing or not finite."""
    reasons = []
    if candidate.fid is None:
        reasons.append(f"the candidate's FID is {candidate.source.get('fid', 'missing')}, which is not a finite number")
    return reasons + [
        f"{each.name} has a limit ({each.limit}), but the evaluation has no such score; set the limit to null"
        for each in rows
        if each.limit and each.candidate is None and each.name != "FID"
    ]


def _same_weights(candidate: ScoreRecord, champion: ScoreRecord) -> bool:
    ours, theirs = (each.conditions.get("weights_sha256") for each in (candidate, champion))
    return ours is not None and ours == theirs


def _incomparable(candidate: ScoreRecord, champion: ScoreRecord) -> tuple[str, ...]:
    """List the reasons why the two cannot be compared; empty if they can."""
    if champion.refused:
        return (f"the champion cannot be scored under the candidate's conditions: {champion.refused}",)
    differences = _differences(candidate.conditions, champion.conditions)
    if differences:
        return ("candidate and champion were measured under different conditions", *differences)
    if champion.fid is None:
        return ("the champion's evaluation has no FID, so the candidate cannot be compared with it",)
    if not all(math.isfinite(value) for value in (*candidate.fid_blocks, *champion.fid_blocks)):
        return ("FID of a seed block is not a finite number",)
    one_sided = [
        each.name
        for each in score_table.guarded(candidate, champion)
        if (each.candidate is None) != (each.champion is None)
    ]
    return tuple(f"only one of candidate and champion has a finite {name}" for name in one_sided)


def _differences(candidate: Mapping[str, Any], champion: Mapping[str, Any]) -> list[str]:
    """List each condition that differs between the two."""
    keys = [key for key in dict.fromkeys([*candidate, *champion]) if key not in IDENTITY]
    return [
        f"{key}: candidate {candidate.get(key, 'nothing')}, champion {champion.get(key, 'nothing')}"
        for key in keys
        if key not in candidate or key not in champion or candidate[key] != champion[key]
    ]


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole > 0 else "infinitely"
