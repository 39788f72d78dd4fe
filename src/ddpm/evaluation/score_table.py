"""The table of scores on which the gate decides: candidate, champion, floor and limit of each score."""

from dataclasses import dataclass, replace

from ddpm.evaluation.score_record import ScoreRecord


@dataclass(frozen=True)
class Row:
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
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """The scores with limits relative to real images: FID ratio and class accuracy; KID, recall and memorisation.

    A limit on classes or memorisation applies if the evaluation has such a score; FID and recall it always has.
    """
    theirs = None if champion is None else champion.fid_ratio
    ratio = Row("FID ratio to real images", candidate.fid_ratio, theirs, 1.0, "", None)
    kid, recall, memorisation = guarded(candidate, champion)
    if limits.min_recall_ratio is not None:
        recall = _share(recall, limits.min_recall_ratio, 0.0, candidate.floor("recall", "halves"))
    accuracy = row("class accuracy", "class_accuracy", candidate, champion, _real_accuracy(candidate))
    if candidate.has("class_accuracy") and limits.min_class_skill is not None:
        accuracy = _share(accuracy, limits.min_class_skill, candidate.chance, accuracy.floor)
    if candidate.has("memorisation_ratio"):
        memorisation = _judged(memorisation, least=limits.min_memorisation_ratio)
    return (_judged(ratio, most=limits.max_fid_ratio), accuracy), (kid, recall, memorisation)


def guarded(candidate: ScoreRecord, champion: ScoreRecord | None) -> tuple[Row, ...]:
    """The scores that must not regress, whatever the gain in FID."""
    kid, recall = (candidate.floor(score, "heldout") for score in ("kid", "recall"))
    return (
        row("KID", "kid", candidate, champion, kid),
        row("recall", "recall", candidate, champion, recall),
        row("memorisation ratio", "memorisation_ratio", candidate, champion),
    )


def limited(
    rows: tuple[Row, ...],
    kid_noise: float,
    kid_tolerance: float,
    recall_tolerance: float,
    memorisation_tolerance: float,
) -> tuple[Row, ...]:
    """The guarded rows, each with its tolerance relative to the champion, unless it fails a limit of its own.

    KID of a good model is near 0, where a share of it is less than its noise: what chance explains of the difference,
    `kid_noise`, is always allowed.
    A memorisation ratio above 1 means that samples are farther from the training images than new images are, so a
    decrease to 1 is not a loss.
    """
    kid, recall, memorisation = rows
    if kid.champion is not None:
        kid = _judged(kid, most=kid.champion + max(kid_tolerance * abs(kid.champion), kid_noise))
    if recall.champion is not None and recall.ok is not False:
        recall = _judged(recall, least=recall.champion - recall_tolerance)
    if memorisation.champion is not None and memorisation.ok is not False:
        memorisation = _judged(memorisation, least=min(memorisation.champion, 1.0) - memorisation_tolerance)
    return kid, recall, memorisation


def _real_accuracy(scores: ScoreRecord) -> float | None:
    """The classifier's accuracy on real images of the requested classes, or else on all held-out images."""
    drawn = scores.floor("class_accuracy", "heldout")
    return scores.extractor_accuracy if drawn is None else drawn


def _share(row: Row, share: float, chance: float, real: float | None) -> Row:
    """The row judged by the score at that share of the way from chance to real images; missing without the latter."""
    if real is None:
        return replace(row, candidate=None, limit=f"at least {share:g} of real images'", ok=False)
    return _judged(row, least=float(f"{chance + share * max(0.0, real - chance):.3g}"))


def row(
    name: str,
    key: str,
    candidate: ScoreRecord,
    champion: ScoreRecord | None,
    floor: float | None = None,
    *,
    most: float | None = None,
    least: float | None = None,
) -> Row:
    """One score beside the champion's, judged if it has a limit."""
    theirs = None if champion is None else getattr(champion, key)
    return _judged(Row(name, getattr(candidate, key), theirs, floor, "", None), most=most, least=least)


def _judged(row: Row, *, most: float | None = None, least: float | None = None) -> Row:
    """The row with a limit; a score that is missing does not keep it."""
    if most is not None:
        return replace(row, limit=f"at most {most:g}", ok=row.candidate is not None and row.candidate <= most)
    if least is not None:
        return replace(row, limit=f"at least {least:g}", ok=row.candidate is not None and row.candidate >= least)
    return row
