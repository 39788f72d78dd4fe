"""Scores of one set of features against a reference; used for samples, seed blocks, and floors."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ddpm.metrics import frechet, inception_score, kid
from ddpm.metrics.extractors import Advance, Extractor
from ddpm.metrics.precision_recall import manifold, manifold_scores
from ddpm.metrics.shards import WHOLE, Shard


class Spatial(Protocol):
    """An extractor with spatial features, for sFID (Nash et al. 2021)."""

    def spatial(self, images: NDArray[np.uint8], advance: Advance = ...) -> NDArray[np.float32]:
        """Map images uint8 (N, H, W, C) to features (N, S)."""
        ...


@dataclass(frozen=True)
class Features:
    """Features (N, D) of images and, where the extractor has them, spatial features (N, S)."""

    features: NDArray[np.floating]
    spatial: NDArray[np.floating] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def part(self, indices: NDArray[np.int64] | slice) -> "Features":
        """Return the features of a subset of the images."""
        return Features(self.features[indices], None if self.spatial is None else self.spatial[indices])


@dataclass(frozen=True)
class ReferenceStats:
    """The real images of a comparison: features (N, D), their moments, and the moments of their spatial features."""

    features: NDArray[np.floating]
    moments: frechet.Moments
    spatial: frechet.Moments | None = None


def statistics(seen: Features) -> ReferenceStats:
    """Compute the statistics of real images."""
    spatial = None if seen.spatial is None else frechet.moments(seen.spatial)
    return ReferenceStats(seen.features, frechet.moments(seen.features), spatial)


def chosen(total: int, count: int) -> NDArray[np.int64] | slice:
    """Choose `count` of `total` images, the same ones for equal arguments; all of them if there are no more."""
    return slice(None) if total <= count else np.sort(np.random.default_rng(0).permutation(total)[:count])


def distances(seen: Features, against: ReferenceStats, shard: Shard = WHOLE) -> tuple[dict[str, float], list[float]]:
    """Compute FID, FID-infinity, KID, precision, recall, density, coverage and, if it applies, sFID; and KID by subset.

    Nearest-neighbour scores depend on both sample sizes, so both sets are subsampled to the smaller size.
    """
    subsets = kid.subset_values(seen.features, against.features, shard=shard)
    count = min(len(seen), len(against.features))
    fake_balls, real_balls = (manifold(x[chosen(len(x), count)], shard) for x in (seen.features, against.features))
    found = {
        "fid": frechet.frechet_to(seen.features, against.moments),
        "fid_infinity": frechet.frechet_infinity(seen.features, against.moments, shard=shard),
        **kid.kid(subsets),
        **manifold_scores(fake_balls, real_balls, shard),
    }
    if seen.spatial is not None and against.spatial is not None:
        found["sfid"] = frechet.frechet_to(seen.spatial, against.spatial)
    return found, subsets.tolist()


def inception_scores(features: NDArray[np.floating], extractor: Extractor, splits: int) -> dict[str, float]:
    """Compute the Inception Score and its standard deviation over splits; empty for an extractor without logits."""
    if not extractor.logits(features[:1]).shape[1]:
        return {}
    mean, deviation = inception_score.inception_score(features, extractor.logits, splits)
    found = {"inception_score": mean}
    return found if deviation is None else found | {"inception_score_std": deviation}


def predictions(features: NDArray[np.floating], extractor: Extractor) -> NDArray[np.int64]:
    """Predict the class of each image, (N,)."""
    parts = [features[start : start + frechet.BLOCK] for start in range(0, len(features), frechet.BLOCK)]
    return np.concatenate([extractor.logits(part).argmax(axis=1) for part in parts])


def class_scores(guessed: NDArray[np.int64], classes: int, train_shares: NDArray[np.float64] | None) -> dict[str, Any]:
    """Compute the share of the rarest class, and the distance of the class shares to those of the training split.

    `class_histogram_distance` is the total variation distance, 0 to 1: the share of images that would have to change
    class.
    """
    shares = inception_score.class_shares(guessed, classes)
    found: dict[str, Any] = {"class_share_min": float(shares.min())}
    if train_shares is not None:
        found["class_histogram_distance"] = float(np.abs(shares - train_shares).sum() / 2)
    return found
