"""The table of scores on which the gate decides: candidate, champion, floor and limit of each score."""

from dataclasses import dataclass, replace

from ddpm.evaluation import score_text
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.evaluation.score_text import NAMES

FACTS_TOLERANCE = 1.0
"""Spreads of real blocks of time by which the largest deviation of stylised facts may exceed the champion's."""


@dataclass(frozen=True)
class ScoreRow:
    """One row of the table. floor: the same score of real images; ok: None for a score without a limit."""

    name: str
    candidate: float | None
    champion: float | None
    floor: float | None
    limit: str
    ok: bool | None


@dataclass(frozen=True)
class Limits:
    """Limits relative to the scores of real images of the data set under the same extractor; None: does not apply.

    max_fid_ratio: FID over that of equally many real images. min_recall_ratio: recall over that of real images.
    min_class_skill: class accuracy on a scale from chance (0) to real images (1). min_memorisation_ratio: distance to
    the nearest training image over that of held-out images.
    """

    max_fid_ratio: float | None = None
    min_recall_ratio: float | None = None
    min_class_skill: float | None = None
    min_memorisation_ratio: float | None = None


def relative(
    candidate: ScoreRecord, champion: ScoreRecord | None, limits: Limits
) -> tuple[tuple[ScoreRow, ...], tuple[ScoreRow, ...]]:
    """Judge the scores relative to real images: FID ratio and class accuracy; KID, recall, memorisation, facts.

    A limit on classes or memorisation applies only if the evaluation has such a score; FID and recall are required.
    """
    ratio = row("fid_ratio", candidate, champion, most=limits.max_fid_ratio)
    kid, recall, memorisation, facts = guarded(candidate, champion)
    if limits.min_recall_ratio is not None:
        recall = _share(recall, limits.min_recall_ratio, 0.0, candidate.floor("recall", "halves"))
    accuracy = row("class_accuracy", candidate, champion)
    if candidate.has("class_accuracy") and limits.min_class_skill is not None:
        accuracy = _share(accuracy, limits.min_class_skill, candidate.chance, accuracy.floor)
    if candidate.has("memorisation_ratio"):
        memorisation = _judged(memorisation, least=limits.min_memorisation_ratio)
    return (ratio, accuracy), (kid, recall, memorisation, facts)


def guarded(candidate: ScoreRecord, champion: ScoreRecord | None) -> tuple[ScoreRow, ...]:
    """List the scores that must not regress, regardless of the gain in FID."""
    return tuple(row(key, candidate, champion) for key in ("kid", "recall", "memorisation_ratio", "facts_deviation"))


def limited(
    rows: tuple[ScoreRow, ...],
    kid_noise: float,
    kid_tolerance: float,
    recall_tolerance: float,
    memorisation_tolerance: float,
) -> tuple[ScoreRow, ...]:
    """Judge the guarded rows by their tolerance against the champion, unless one has failed its own limit.

    KID of a good model is near 0, where a relative tolerance is smaller than sampling noise, so a difference of
    `kid_noise` is always tolerated. A memorisation ratio above 1 means that samples are farther from the training
    images than new images are, so a decrease to 1 is not a regression. Stylised facts of series deviate in units of
    the spread of real blocks of time: less than one more is chance.
    """
    kid, recall, memorisation, facts = rows
    if kid.champion is not None:
        kid = _judged(kid, most=kid.champion + max(kid_tolerance * abs(kid.champion), kid_noise))
    if recall.champion is not None and recall.ok is not False:
        recall = _judged(recall, least=recall.champion - recall_tolerance)
    if memorisation.champion is not None and memorisation.ok is not False:
        memorisation = _judged(memorisation, least=min(memorisation.champion, 1.0) - memorisation_tolerance)
    if facts.champion is not None:
        facts = _judged(facts, most=facts.champion + FACTS_TOLERANCE)
    return kid, recall, memorisation, facts


def _share(row: ScoreRow, share: float, chance: float, real: float | None) -> ScoreRow:
    """Judge a row by a limit at `share` of the distance from chance to real images; fail it if the latter is None."""
    if real is None:
        return replace(row, candidate=None, limit=f"at least {share:g} of real images'", ok=False)
    return _judged(row, least=float(f"{chance + share * max(0.0, real - chance):.3g}"))


def row(
    key: str,
    candidate: ScoreRecord,
    champion: ScoreRecord | None,
    *,
    most: float | None = None,
    least: float | None = None,
) -> ScoreRow:
    """Build the row of a score, a key of NAMES, judged if it has a limit."""
    theirs = None if champion is None else champion.value(key)
    found = ScoreRow(NAMES[key], candidate.value(key), theirs, candidate.real(key), "", None)
    return _judged(found, most=most, least=least)


def _judged(row: ScoreRow, *, most: float | None = None, least: float | None = None) -> ScoreRow:
    """Judge a row by a limit; a missing score fails."""
    if most is not None:
        limit = f"at most {score_text.limit(row.name, most)}"
        return replace(row, limit=limit, ok=row.candidate is not None and row.candidate <= most)
    if least is not None:
        limit = f"at least {score_text.limit(row.name, least)}"
        return replace(row, limit=limit, ok=row.candidate is not None and row.candidate >= least)
    return row
