"""The record of all scores of one set of images against one reference, with their conditions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.metrics import frechet, inception_score, memorisation, scoring
from ddpm.metrics.extractors import Advance, Extractor
from ddpm.metrics.precision_recall import nearest
from ddpm.metrics.real_distances import expected_fid
from ddpm.metrics.rounding import significant
from ddpm.metrics.scoring import Features, ReferenceStats
from ddpm.metrics.shards import WHOLE, Shard

NO_SPREAD = ("kid_se", "inception_score_std", "nearest_heldout_baseline")  # not scores of the samples themselves


@dataclass(frozen=True)
class Reference:
    """Features and statistics of the real images.

    train (N, D), heldout (M, D): features; moments: of `train`; floors: scores of real images, copies and noise, from
    `floor_counts` images; sha256: identity of all of it. Where they apply: class_shares (classes,) of the training
    split's labels, features of noise, and spatial, the moments of spatial features.
    """

    moments: frechet.Moments
    train: NDArray[np.float32]
    heldout: NDArray[np.float32]
    floors: Mapping[str, Mapping[str, float]]
    classes: tuple[str, ...]
    sha256: str
    class_shares: NDArray[np.float64] | None = None
    noise: NDArray[np.float32] | None = None
    spatial: frechet.Moments | None = None
    floor_counts: Mapping[str, int] = field(default_factory=dict)


def score(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    extractor: Extractor,
    reference: Reference,
    *,
    splits: int,
    blocks: int = 1,
    advance: Advance = lambda count: None,
) -> dict[str, Any]:
    """Score images uint8 (N, H, W, C), generated for `labels` (N,) (None, or -1: no class), against real images.

    Otherwise as `score_features`. Raises ValueError: too few images, wrong dtype or shape, features not finite.
    """
    frechet.require_enough(len(images), "the samples", "Raise sample.count.")
    return score_features(
        Features(extractor(images, advance)), labels, extractor, reference, splits=splits, blocks=blocks
    )


def score_features(
    seen: Features,
    labels: NDArray[np.int64] | None,
    extractor: Extractor,
    reference: Reference,
    *,
    splits: int,
    blocks: int = 1,
    exact_copies: int | None = None,
    near: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
    shard: Shard = WHOLE,
) -> dict[str, Any]:
    """Score images by their features, in the order of their seeds.

    Returns the scores by name; with several seed blocks, `spread` (mean and standard deviation of each) and `blocks`
    (their values); `kid_subsets`; `memorisation`; `floors` of each score; and `conditions`, which must be equal for two
    scores to be comparable. Keys that do not apply are omitted. exact_copies: from `memorisation.count_copies`. near:
    the memorisation.NEIGHBOURS nearest training images of each image, from `nearest`; computed if None.
    Raises ValueError: too few images, blocks of unequal size, features not finite.
    """
    frechet.require_enough(len(seen), "the samples", "Raise sample.count.")
    against = ReferenceStats(reference.train, reference.moments, reference.spatial)
    closest, distances = near or nearest(seen.features, reference.train, memorisation.NEIGHBOURS, shard)
    heldout = nearest(reference.heldout, reference.train, memorisation.NEIGHBOURS, shard)[1]
    unseen = memorisation.baseline(heldout)

    def of(part: slice, parts: int) -> tuple[dict[str, Any], list[float]]:
        some = seen.part(part)
        found, subsets = scoring.distances(some, against, shard)
        found |= scoring.inception_scores(some.features, extractor, parts)
        found |= _class_scores(some.features, None if labels is None else labels[part], extractor, reference)
        return found | memorisation.typical(distances[part, 0], unseen), subsets

    result, subsets = of(slice(0, len(seen)), splits)
    conditions = _conditions(len(seen), extractor, reference.sha256, reference.moments.count, splits, blocks)
    floors = _floors(reference, extractor, conditions)
    record = result | _named_floors(floors) | {"kid_subsets": subsets, "floors": floors}
    if len(heldout):
        record["memorisation"] = memorisation.evidence(distances, closest[:, 0], heldout, exact_copies)
    if blocks > 1:
        parts = _divisor(len(seen) // blocks, splits // blocks)
        record |= _spread([of(part, parts)[0] for part in seed_blocks(len(seen), blocks)])
    rounded: dict[str, Any] = _rounded(record)
    return rounded | {"floor_counts": dict(reference.floor_counts), "conditions": conditions}


def score_against(
    seen: Features, moments: frechet.Moments, extractor: Extractor, *, sha256: str, splits: int
) -> dict[str, Any]:
    """Score images by their features against moments alone, without the real images.

    Returns FID, FID-infinity, the Inception Score, and `conditions`. sha256: identity of the moments, whose count is 0
    if unknown. Raises ValueError: too few images, features not finite, different dimensions.
    """
    frechet.require_enough(len(seen), "the samples", "Give more images.")
    record = {
        "fid": frechet.frechet_to(seen.features, moments),
        "fid_infinity": frechet.frechet_infinity(seen.features, moments),
        **scoring.inception_scores(seen.features, extractor, splits),
    }
    conditions = _conditions(len(seen), extractor, sha256, moments.count, splits, 1)
    rounded: dict[str, Any] = _rounded(record)
    return rounded | {"conditions": conditions}


def seed_blocks(count: int, blocks: int) -> list[slice]:
    """Divide the seeds into equal, consecutive blocks. Raises ValueError for unequal or too small blocks."""
    if count % blocks:
        raise ValueError(f"evaluate.blocks = {blocks} does not divide the {count} samples into equal blocks")
    size = count // blocks
    frechet.require_enough(size, f"each of {blocks} blocks", "Raise sample.count, or lower evaluate.blocks.")
    return [slice(start, start + size) for start in range(0, count, size)]


def _divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number up to `most`; at least 1."""
    return next((each for each in range(most, 1, -1) if number % each == 0), 1)


def _conditions(
    count: int, extractor: Extractor, reference_sha256: str, reference_count: int, splits: int, blocks: int
) -> dict[str, Any]:
    """Describe how the scores were measured. reference_count: 0 if unknown."""
    return {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        "resize": extractor.resize,
        "feature_dimension": extractor.dimension,
        "reference_sha256": reference_sha256,
        "reference_count": reference_count,
        "count": count,
        "inception_score_splits": splits,
        "blocks": blocks,
        # Without more images than features the covariance is rank deficient, and FID is far too high.
        "full_rank": min(count, reference_count or count) > extractor.dimension,
    }


def _class_scores(
    features: NDArray[np.floating], labels: NDArray[np.int64] | None, extractor: Extractor, reference: Reference
) -> dict[str, Any]:
    """Compute class shares, and accuracy if classes were requested; empty for an extractor without classes."""
    classes = reference.classes
    if not extractor.classes:
        return {}
    if extractor.classes != len(classes):
        raise ValueError(f"the extractor has {extractor.classes} classes, the data set has {len(classes)}: {classes}")
    guessed = scoring.predictions(features, extractor)
    found = scoring.class_scores(guessed, len(classes), reference.class_shares)
    shares = inception_score.class_shares(guessed, len(classes))
    found["class_histogram"] = {name: float(share) for name, share in zip(classes, shares, strict=True)}
    if labels is None or (labels < 0).any():
        return found
    return {"class_accuracy": float((guessed == labels).mean())} | found


def _floors(reference: Reference, extractor: Extractor, conditions: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Complete the floors of the reference by those that depend on the number of samples.

    `equal_counts` of FID is the value expected of as many new real images as there are samples. The Inception Score
    depends on part size, so its floors use parts of the samples' size; a smaller set is a single part, with a lower
    score.
    """
    half = np.sort(np.random.default_rng(0).permutation(len(reference.train))[: len(reference.train) // 2])
    sets = {"heldout": reference.heldout, "halves": reference.train[half], "copy": reference.train}
    if reference.noise is not None:
        sets["noise"] = reference.noise
    size = conditions["count"] // conditions["inception_score_splits"]
    inception = {}
    for name, each in sets.items():
        if parts := max(len(each) // size, min(1, len(each))):
            some = each[scoring.chosen(len(each), parts * size)]
            if measured := scoring.inception_scores(some, extractor, parts):
                inception[name] = measured["inception_score"]
    found = {name: dict(each) for name, each in reference.floors.items()}
    if inception:
        found["inception_score"] = inception
    equal = expected_fid(found.get("fid", {}), reference.floor_counts, conditions)
    if equal is not None:
        found["fid"]["equal_counts"] = equal
    return found


NAMED_FLOORS = (
    ("inception_score_real", "inception_score", "heldout"),
    ("fid_floor", "fid", "heldout"),
    ("fid_halves", "fid", "halves"),
    ("fid_equal_counts", "fid", "equal_counts"),
)
"""Floors that gate and report show with a score: key in metrics.json, score, and set."""


def _named_floors(floors: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Select the floors of NAMED_FLOORS that exist."""
    return {key: floors[score][which] for key, score, which in NAMED_FLOORS if which in floors.get(score, {})}


def _spread(values: list[dict[str, Any]]) -> dict[str, Any]:
    """Compute mean and standard deviation of each score over the blocks; include the values."""
    names = [name for name, value in values[0].items() if isinstance(value, float) and name not in NO_SPREAD]
    by_name = {name: [each[name] for each in values] for name in names}
    spread = {name: {"mean": float(np.mean(x)), "std": float(np.std(x, ddof=1))} for name, x in by_name.items()}
    return {"spread": spread, "blocks": {"count": len(values), "values": by_name}}


def _rounded(value: Any) -> Any:
    """Round every float to the digits kept of a score; integers stay as they are."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return significant(value) if isinstance(value, float) else value
