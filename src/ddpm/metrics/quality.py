"""Every score of one set of features against real ones: the same for samples, for their blocks, and for the floors."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ddpm.metrics import kernel, scores
from ddpm.metrics.extractors import Advance, Extractor
from ddpm.metrics.neighbours import manifold, manifold_scores
from ddpm.metrics.shards import WHOLE, Shard


class Spatial(Protocol):
    """What an extractor may have besides: features that keep the place of things, for sFID (Nash et al. 2021)."""

    def spatial(self, images: NDArray[np.uint8], advance: Advance = ...) -> NDArray[np.float32]:
        """Images uint8 (N, H, W, C) to features (N, S)."""
        ...


@dataclass(frozen=True)
class Seen:
    """Images as the extractor sees them: features (N, D) and, where it has them, spatial features (N, S)."""

    features: NDArray[np.floating]
    spatial: NDArray[np.floating] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def part(self, indices: NDArray[np.int64] | slice) -> "Seen":
        """Some of the images."""
        return Seen(self.features[indices], None if self.spatial is None else self.spatial[indices])


@dataclass(frozen=True)
class Real:
    """Real images to be held against: features (N, D), their moments, and the moments of the spatial ones."""

    features: NDArray[np.floating]
    moments: scores.Moments
    spatial: scores.Moments | None = None


def real(seen: Seen) -> Real:
    """Statistics of real images."""
    spatial = None if seen.spatial is None else scores.moments(seen.spatial)
    return Real(seen.features, scores.moments(seen.features), spatial)


def chosen(total: int, count: int) -> NDArray[np.int64] | slice:
    """`count` of `total` images, the same for equal numbers; all of them if there are no more."""
    return slice(None) if total <= count else np.sort(np.random.default_rng(0).permutation(total)[:count])


def distances(seen: Seen, against: Real, shard: Shard = WHOLE) -> tuple[dict[str, float], list[float]]:
    """FID, FID-infinity, KID, precision, recall, density, coverage, sFID if it applies; and KID of each subset.

    What rests on neighbours is taken of equal counts, the smaller of the two, since it depends on both.
    """
    subsets = kernel.subset_values(seen.features, against.features, shard=shard)
    count = min(len(seen), len(against.features))
    fake_balls, real_balls = (manifold(x[chosen(len(x), count)], shard) for x in (seen.features, against.features))
    found = {
        "fid": scores.frechet_to(seen.features, against.moments),
        "fid_infinity": scores.frechet_infinity(seen.features, against.moments, shard=shard),
        **kernel.kid(subsets),
        **manifold_scores(fake_balls, real_balls, shard),
    }
    if seen.spatial is not None and against.spatial is not None:
        found["sfid"] = scores.frechet_to(seen.spatial, against.spatial)
    return found, subsets.tolist()


def answers(features: NDArray[np.floating], extractor: Extractor, splits: int) -> dict[str, float]:
    """The Inception Score and its deviation over splits."""
    mean, deviation = scores.inception_score(features, extractor.logits, splits)
    found = {"inception_score": mean}
    return found if deviation is None else found | {"inception_score_std": deviation}


def guesses(features: NDArray[np.floating], extractor: Extractor) -> NDArray[np.int64]:
    """The class that the extractor takes each image for, (N,)."""
    parts = [features[start : start + scores.BLOCK] for start in range(0, len(features), scores.BLOCK)]
    return np.concatenate([extractor.logits(part).argmax(axis=1) for part in parts])


def class_scores(guessed: NDArray[np.int64], classes: int, train_shares: NDArray[np.float64] | None) -> dict[str, Any]:
    """Share of the rarest class, and how far the shares are from the training split's.

    `class_histogram_distance` is the total variation, 0 to 1: the share of images that would have to change class.
    """
    shares = scores.class_shares(guessed, classes)
    found: dict[str, Any] = {"class_share_min": float(shares.min())}
    if train_shares is not None:
        found["class_histogram_distance"] = float(np.abs(shares - train_shares).sum() / 2)
    return found
