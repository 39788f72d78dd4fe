"""Scores of real images, copies and noise: the floors and ceilings of a model's scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ddpm.metrics import frechet, memorisation, scoring
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.precision_recall import nearest
from ddpm.metrics.scoring import Features, ReferenceStats
from ddpm.metrics.shards import WHOLE, Shard

LARGEST = 10_000  # images of a set that are scored; the reference is never subsampled
NOISE = 1000
ALTERNATIONS = 16  # blocks of time
SHOWN = 6  # significant digits


@dataclass(frozen=True)
class Floors:
    """Floors and the set sizes they were measured at.

    scores: name of a score to its values for `heldout` images, `halves` of the training split against each other,
    `noise`, and a `copy` of the training split; of series, also `shuffled` rows and `resampled` halves. counts: number
    of images in each set.
    """

    scores: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]


def noise(count: int, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.uint8]:
    """Generate images (count, *shape) of independent, uniformly distributed pixels."""
    return random.integers(0, 256, (count, *shape), np.uint8)


def independent(count: int, windows: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Generate series (count, L, C) of independent Gaussian rows with the mean and covariance of those of `windows`."""
    rows = windows.reshape(-1, windows.shape[2]).astype(np.float64)
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    found = random.multivariate_normal(rows.mean(0), covariance, (count, windows.shape[1]))
    return found.astype(np.float32)


def shuffled(count: int, windows: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Generate series (count, L, C) of rows of `windows` in random order: the right values, without order in time."""
    rows = windows.reshape(-1, windows.shape[2])
    return rows[random.integers(0, len(rows), (count, windows.shape[1]))]


def alternating(count: int) -> NDArray[np.int64]:
    """Order `count` examples in time so that its halves are alternating blocks of time, which share few moments.

    Halves drawn at random would both have parts of every overlapping pair.
    """
    indices = np.arange(count)[scoring.chosen(count, 2 * LARGEST)]
    number = indices * ALTERNATIONS // count
    return np.concatenate([indices[number % 2 == half] for half in (0, 1)])


def require_enough(train: int, heldout: int) -> None:
    """Refuse splits that are too small to score. Raises TooFewImagesError."""
    frechet.require_enough(train // 2, "half of the training split", "Add images.")
    frechet.require_enough(heldout, "the held-out split", "Add images, or raise prepare.holdout.")


def floors(
    train: Features,
    heldout: Features | None,
    noisy: Mapping[str, Features],
    *,
    seed: int,
    extractor: Extractor | None = None,
    train_shares: NDArray[np.float64] | None = None,
    order: NDArray[np.int64] | None = None,
    shard: Shard = WHOLE,
) -> Floors:
    """Score real images, noise and copies in the same way as a model's images; heldout may be missing.

    noisy: by name, sets that no model should be as bad as.

    Held-out images and halves miss the ideal scores only because the sets are finite, so their floors improve with set
    size. At most LARGEST images of a set are scored. seed: of the halves, unless `order`
    has the indices of the first half, then of the second: `resampled` halves are then those of the seed, which differ
    only because they are finite. The Inception Score is not included: it depends on `evaluate.splits`. Raises
    TooFewImagesError.
    """
    require_enough(len(train), frechet.SMALLEST_SET if heldout is None else len(heldout))
    drawn = np.random.default_rng(seed).permutation(len(train))
    first, second = _halves(train, drawn if order is None else order)
    whole = scoring.statistics(train)
    pairs = {
        **({"heldout": (_subsampled(heldout), whole)} if heldout else {}),
        "halves": (first, scoring.statistics(second)),
        **{name: (_subsampled(each), whole) for name, each in noisy.items()},
        "copy": (_subsampled(train), whole),
    }
    if order is not None:
        first, second = _halves(train, drawn)
        pairs["resampled"] = first, scoring.statistics(second)
    found: dict[str, dict[str, float]] = {}
    for name, (seen, against) in pairs.items():
        one = _scores(seen, against, heldout, shard)
        if extractor is not None and extractor.classes:
            one |= scoring.class_scores(scoring.predictions(seen.features, extractor), extractor.classes, train_shares)
        for score, value in one.items():
            found.setdefault(score, {})[name] = float(f"{value:.{SHOWN}g}")
    return Floors(found, {name: len(seen) for name, (seen, _) in pairs.items()})


def _scores(seen: Features, against: ReferenceStats, heldout: Features | None, shard: Shard) -> dict[str, float]:
    found, _ = scoring.distances(seen, against, shard)
    unseen = against.features[:0] if heldout is None else heldout.features
    distances, others = (
        nearest(each, against.features, memorisation.NEIGHBOURS, shard)[1] for each in (seen.features, unseen)
    )
    return found | memorisation.typical(distances[:, 0], memorisation.baseline(others))


def _halves(seen: Features, order: NDArray[np.int64]) -> tuple[Features, Features]:
    """Divide a set in two; of a large one, at most LARGEST images each."""
    half = min(len(order) // 2, LARGEST)
    first, second = (seen.part(np.sort(part)) for part in (order[:half], order[half : 2 * half]))
    return first, second


def _subsampled(seen: Features) -> Features:
    """Subsample to at most LARGEST images."""
    return seen.part(scoring.chosen(len(seen), LARGEST))
