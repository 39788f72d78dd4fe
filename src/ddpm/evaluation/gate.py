"""The promotion gate: decides from numbers alone whether a candidate replaces the champion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ddpm.evaluation import score_table
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.evaluation.score_table import Limits, Row, row

if TYPE_CHECKING:
    from ddpm.metrics.paired_test import Comparison

Outcome = Literal[
    "first", "better", "inconclusive", "worse", "regressed", "outside limits", "refused", "unchanged", "withdrawn"
]
Answer = Literal["rejected", "expired"]
"""Of a person who was asked about a verdict that would promote; never a decision of this module."""
PROMOTES = ("first", "better")
NO_LIMITS = "no limits are set (section promote of params.yaml)"
SEEDS = "promote.min_improvement: another training seed of the same recipe differs as well"
IDENTITY = ("weights_sha256",)  # the only condition that differs between two models measured alike


@dataclass(frozen=True)
class Verdict:
    """The decision with its reasons, the table of scores, and the comparison of FID by blocks of equal seeds."""

    verdict: Outcome | Answer
    promote: bool
    reasons: tuple[str, ...]
    rows: tuple[Row, ...]
    comparison: "Comparison | None" = None

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
    min_improvement: share of the champion's FID by which the candidate's must be lower. confidence: of the interval of
    the FID difference, paired by blocks of equal seeds. The tolerances: how much worse than the champion's KID
    (relative), recall and memorisation ratio (absolute) may be. champion: None without one; `{"refused": reason}` for
    one that cannot be scored under the candidate's conditions. withdrawn: the reason of an earlier rollback of this
    candidate; it can then only be promoted by hand.

    The verdict is `first` or `better` (promote), or else: `worse` (the whole interval is on that side), `inconclusive`
    (it is on both, or rests on too few blocks, or the gain is below min_improvement), `regressed` (better, but not by
    KID, recall or memorisation), `outside limits`, `unchanged` (the champion's own weights), `withdrawn`, `refused`
    (numbers are missing, or were measured under different conditions).
    """
    ours = ScoreRecord.from_json(candidate)
    theirs = None if champion is None else ScoreRecord.from_json(champion)
    limits = Limits(max_fid_ratio, min_recall_ratio, min_class_skill, min_memorisation_ratio)
    (fid_ratio, accuracy), guarded = score_table.relative(ours, theirs, limits)
    certain = ours.inception_score_real
    limited = (
        row("FID", "fid", ours, theirs, ours.fid_floor, most=max_fid),
        fid_ratio,
        row("Inception Score", "inception_score", ours, theirs, certain, least=min_inception_score),
        row("smallest class share", "class_share_min", ours, theirs, least=min_class_share),
        accuracy,
    )
    found, compared = _alone(ours, theirs, (*limited, *guarded), withdrawn), None
    unlimited = not any(each.limit for each in (*limited, *guarded))
    if theirs is not None and not _same_weights(ours, theirs) and not _incomparable(ours, theirs):
        noise = _kid_noise(ours, theirs, confidence)
        guarded = score_table.limited(guarded, noise, kid_tolerance, recall_tolerance, memorisation_tolerance)
        compared = _compare(ours, theirs, confidence)
    outcome, reasons = found or _against(ours, theirs, guarded, compared, min_improvement)
    if outcome in PROMOTES and unlimited:
        reasons = (reasons[0] if outcome == "better" else "there is no champion yet", NO_LIMITS)
    informational = row("gap of held-out to training loss", "heldout_gap", ours, theirs)
    rows = (limited[0], *guarded, *limited[1:], informational)
    shown = tuple(each for each in rows if each.ok is not None or each.candidate is not None)
    return Verdict(outcome, outcome in PROMOTES, reasons, shown, compared)


def _alone(
    candidate: ScoreRecord, champion: ScoreRecord | None, rows: tuple[Row, ...], withdrawn: str | None
) -> tuple[Outcome, tuple[str, ...]] | None:
    """Verdicts that need no comparison; None if the candidate is to be compared."""
    if champion is not None and _same_weights(candidate, champion):
        return "unchanged", ("the candidate has the champion's own weights",)
    if withdrawn is not None:
        return "withdrawn", (f"it was rolled back ({withdrawn}); only a person promotes it again: `ddpm promote`",)
    missing = _missing(candidate, rows)
    if missing:
        return "refused", tuple(missing)
    failures = tuple(
        f"{each.name} is {each.candidate:.4g}; the limit is {each.limit}" for each in rows if each.ok is False
    )
    return ("outside limits", failures) if failures else None


def _against(
    candidate: ScoreRecord,
    champion: ScoreRecord | None,
    guarded: Sequence[Row],
    compared: "Comparison | None",
    min_improvement: float,
) -> tuple[Outcome, tuple[str, ...]]:
    """Compare the two, if they were measured under equal conditions."""
    if champion is None:
        return "first", ("it is within the limits and there is no champion yet",)
    if problems := _incomparable(candidate, champion):
        return "refused", problems
    if candidate.fid is None or champion.fid is None:
        return "refused", ("candidate or champion has no FID, so there is nothing to compare",)
    gain, numbers = _gain(candidate.fid, champion.fid)
    outcome, reason = _by_blocks(compared, gain, numbers, min_improvement)
    worse = [
        f"{each.name} is {each.candidate:.4g} against the champion's {each.champion:.4g}; the limit is {each.limit}"
        for each in guarded
        if each.ok is False
    ]
    if outcome == "better" and worse:
        return "regressed", (*worse, reason)
    return outcome, (reason,)


def _by_blocks(compared: "Comparison | None", gain: float, numbers: str, min_improvement: float) -> tuple[Outcome, str]:
    """Better, worse or inconclusive: by the interval of the difference, and by its size."""
    if compared is None:
        return "inconclusive", f"{numbers}; without blocks of seeds (evaluate.blocks) nobody knows whether by chance"
    if not compared.valid:
        return "inconclusive", f"{numbers}; of blocks of seeds (evaluate.blocks), {compared.validity}"
    words = (
        f"over {compared.pairs} blocks of equal seeds the difference is {compared.difference:+.3g}, "
        f"{100 * compared.confidence:.4g}% interval {compared.low:+.3g} to {compared.high:+.3g}"
    )
    if compared.low > 0:
        return "worse", f"{numbers}; {words}"
    if compared.high >= 0:
        return "inconclusive", f"{numbers}; {words}: it may be chance"
    if gain <= 0 or gain < min_improvement:
        return "inconclusive", f"{numbers}, and at least {min_improvement:.1%} is asked ({SEEDS}); {words}"
    return "better", f"{numbers}, and at least {min_improvement:.1%} was asked ({SEEDS}); {words}"


def _gain(candidate: float, champion: float) -> tuple[float, str]:
    """Relative improvement of FID over the champion's, and a phrase with both numbers."""
    numbers = f"FID {candidate:.4g} against the champion's {champion:.4g}"
    if candidate > champion:
        return -1.0, f"{numbers}: {_percent(candidate - champion, champion)} higher"
    gain = 0.0 if champion <= 0 else (champion - candidate) / champion
    return gain, f"{numbers}: {gain:.1%} lower"


def _compare(candidate: ScoreRecord, champion: ScoreRecord, confidence: float) -> "Comparison | None":
    """FID of the candidate minus the champion's, block by block; None without two blocks."""
    from ddpm.metrics.paired_test import compare  # scipy, which only a comparison needs

    ours, theirs = candidate.fid_blocks, champion.fid_blocks
    return compare(ours, theirs, confidence=confidence) if min(len(ours), len(theirs)) > 1 else None


def _kid_noise(candidate: ScoreRecord, champion: ScoreRecord, confidence: float) -> float:
    """By how much KID may be higher by the chance of drawing images: one-sided, of the paired subsets.

    Both models are compared with the same real images subset by subset, which cancels most of the noise that the
    standard error of a single KID has. 0 without two pairs.
    """
    from ddpm.metrics.paired_test import one_sided_reach

    ours, theirs = candidate.kid_subsets, champion.kid_subsets
    return one_sided_reach(ours, theirs, confidence) if len(ours) == len(theirs) > 1 else 0.0


def _missing(candidate: ScoreRecord, rows: tuple[Row, ...]) -> list[str]:
    """Required scores that are missing or not finite."""
    reasons = []
    if candidate.fid is None:
        reasons.append(f"the candidate's FID is {candidate.source.get('fid', 'missing')}, which is not a score")
    return reasons + [
        f"{each.name} has a limit ({each.limit}) and the evaluation has no such score; or set no limit"
        for each in rows
        if each.limit and each.candidate is None and each.name != "FID"
    ]


def _same_weights(candidate: ScoreRecord, champion: ScoreRecord) -> bool:
    ours, theirs = (each.conditions.get("weights_sha256") for each in (candidate, champion))
    return ours is not None and ours == theirs


def _incomparable(candidate: ScoreRecord, champion: ScoreRecord) -> tuple[str, ...]:
    """Reasons why the two cannot be compared; empty if they can."""
    if champion.refused:
        return (f"the champion cannot be scored as the candidate was: {champion.refused}",)
    differences = _differences(candidate.conditions, champion.conditions)
    if differences:
        return ("candidate and champion were measured under different conditions", *differences)
    if champion.fid is None:
        return ("the champion's evaluation has no FID, so there is nothing to compare with",)
    if not all(math.isfinite(value) for value in (*candidate.fid_blocks, *champion.fid_blocks)):
        return ("FID of a block of seeds is not a finite number",)
    one_sided = [
        each.name
        for each in score_table.guarded(candidate, champion)
        if (each.candidate is None) != (each.champion is None)
    ]
    return tuple(f"only one of candidate and champion has a finite {name}" for name in one_sided)


def _differences(candidate: Mapping[str, Any], champion: Mapping[str, Any]) -> list[str]:
    """Each condition that differs between the two."""
    keys = [key for key in dict.fromkeys([*candidate, *champion]) if key not in IDENTITY]
    return [
        f"{key}: candidate {candidate.get(key, 'nothing')}, champion {champion.get(key, 'nothing')}"
        for key in keys
        if key not in candidate or key not in champion or candidate[key] != champion[key]
    ]


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole > 0 else "infinitely"
