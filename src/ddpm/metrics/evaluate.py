"""All scores of one set of images against one reference: used by the evaluate stage and to score a champion anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.metrics import scores
from ddpm.metrics.extractors import Advance, Extractor

DIGITS = 6  # significant digits kept of a score: what is beyond them is rounding of one machine


@dataclass(frozen=True)
class Reference:
    """The real images as the extractor sees them.

    `train` (N, D) and `heldout` (M, D) are features; `moments` are those of `train`; `floors` are the scores that
    real images get; `sha256` names all of it.
    """

    moments: scores.Moments
    train: NDArray[np.float32]
    heldout: NDArray[np.float32]
    floors: Mapping[str, float]
    classes: tuple[str, ...]
    sha256: str


def real_scores(train: NDArray[np.float32], heldout: NDArray[np.float32], seed: int) -> dict[str, float]:
    """What real images score: the floors to read a model's scores against. Raises TooFewImagesError.

    `fid_floor`: training split against held-out split. `fid_halves`: two random halves of the training split.
    Both are above 0 for no other reason than finite counts, so they fall as the sets grow.
    """
    scores.require_enough(len(train) // 2, "half of the training split", "Add images.")
    scores.require_enough(len(heldout), "the held-out split", "Add images, or raise prepare.holdout.")
    return {
        "fid_floor": significant(scores.frechet_distance(scores.moments(train), scores.moments(heldout))),
        "fid_halves": significant(scores.frechet_halves(train, seed)),
    }


def score(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    extractor: Extractor,
    reference: Reference,
    *,
    splits: int,
    advance: Advance = lambda count: None,
) -> dict[str, Any]:
    """Score images uint8 (N, H, W, C), drawn for `labels` (N,) (None, or -1: for no class), against real ones.

    As `score_features`. Raises ValueError: too few images, wrong dtype or shape, features not finite.
    """
    scores.require_enough(len(images), "the samples", "Raise sample.count.")
    return score_features(extractor(images, advance), labels, extractor, reference, splits=splits)


def score_features(
    features: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    extractor: Extractor,
    reference: Reference,
    *,
    splits: int,
) -> dict[str, Any]:
    """Score images of which the features (N, D) are known.

    Returns `fid`, `inception_score`, their floors, class shares where the extractor knows the classes, distances to
    the nearest training images, and `conditions`: without equal conditions two scores cannot be compared. A key
    that does not apply is left out. Raises ValueError: too few images, features not finite.
    """
    scores.require_enough(len(features), "the samples", "Raise sample.count.")
    logits = extractor.logits(features)
    result: dict[str, Any] = {
        "fid": scores.frechet_distance(scores.moments(features), reference.moments),
        **reference.floors,
        **_inception_scores(logits, extractor.logits(reference.train), splits),
        **_class_scores(logits, labels, extractor, reference.classes),
        **memorisation(features, reference),
    }
    conditions = {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        "resize": extractor.resize,
        "feature_dimension": extractor.dimension,
        "reference_sha256": reference.sha256,
        "reference_count": reference.moments.count,
        "count": len(features),
        "inception_score_splits": splits,
        # With no more images than features the covariance has no full rank, and FID is far too high.
        "full_rank": min(len(features), reference.moments.count) > extractor.dimension,
    }
    return _rounded(result) | {"conditions": conditions}


def memorisation(features: NDArray[np.floating], reference: Reference) -> dict[str, float]:
    """How near samples come to the training images, against how near unseen real images come (Carlini et al. 2023).

    Median distance to the nearest training image, of the samples and of the held-out images, and the ratio: about 1
    is what new images have; well below 1, the model repeats what it was trained on. Where no images were held out,
    there is only the first.
    """
    samples = float(np.median(scores.nearest(features, reference.train)[1]))
    if len(reference.heldout) == 0:
        return {"nearest_train_distance": samples}
    heldout = float(np.median(scores.nearest(reference.heldout, reference.train)[1]))
    result = {"nearest_train_distance": samples, "nearest_heldout_baseline": heldout}
    # A held-out split of nothing but copies has no baseline to compare with.
    return result | ({"memorisation_ratio": samples / heldout} if heldout > 0 else {})


def significant(value: float) -> float:
    """`value` to DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def _inception_scores(logits: NDArray[np.float64], real_logits: NDArray[np.float64], splits: int) -> dict[str, float]:
    """The Inception Score, its deviation over splits, and what the training split scores."""
    mean, deviation = scores.inception_score(logits, splits)
    real, _ = scores.inception_score(real_logits, splits)
    result = {"inception_score": mean, "inception_score_real": real}
    return result if deviation is None else result | {"inception_score_std": deviation}


def _class_scores(
    logits: NDArray[np.float64], labels: NDArray[np.int64] | None, extractor: Extractor, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Class shares, and accuracy where classes were asked for; nothing if the extractor does not know the classes."""
    if not extractor.classes:
        return {}
    if extractor.classes != len(classes):
        raise ValueError(f"the extractor knows {extractor.classes} classes, the data set has {len(classes)}: {classes}")
    shares = scores.class_shares(logits)
    result: dict[str, Any] = {
        "class_share_min": float(shares.min()),
        "class_histogram": {name: float(share) for name, share in zip(classes, shares, strict=True)},
    }
    if labels is None or (labels < 0).any():
        return result
    return {"class_accuracy": scores.class_accuracy(logits, labels)} | result


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Every score to DIGITS significant digits."""
    return {key: _rounded(value) if isinstance(value, dict) else significant(value) for key, value in values.items()}
