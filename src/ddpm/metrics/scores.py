"""The numbers: Fréchet distance, Inception Score, class shares, nearest neighbours. All in float64, from features.

The Fréchet distance is computed here and not by torchmetrics, because torchmetrics takes eigenvalues of a product
that is not symmetric: slower, and inexact when a covariance is rank deficient (fewer images than features). The
tests hold it to torchmetrics and to scipy's matrix square root where those are well conditioned. The Inception
Score is torchmetrics' own.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SMALLEST_SET = 50  # images; below, a covariance says nothing and every score is refused
BLOCK = 512  # rows of a distance matrix held at a time


class TooFewImagesError(ValueError):
    """A set is too small to be scored."""


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and unbiased covariance (D, D) of `count` feature vectors."""

    count: int
    mean: Floats
    covariance: Floats


class MomentsAccumulator:
    """Mean and covariance of features that come in blocks, or from several processes (`merge`).

    Keeps the mean and the sum of squared deviations (Chan, Golub & LeVeque 1983), which loses no digits when the mean
    is large against the spread, as raw second moments do.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(dimension)
        self.scatter: Floats = np.zeros((dimension, dimension))

    def add(self, features: NDArray[np.floating]) -> None:
        """Count a block (B, D) in. Raises ValueError for a value that is not finite."""
        block = np.asarray(features, np.float64)
        if not np.isfinite(block).all():
            raise ValueError("features hold NaN or infinity: the extractor or its input is broken")
        if len(block) == 0:
            return
        mean = block.mean(axis=0)
        centred = block - mean
        self._join(len(block), mean, centred.T @ centred)

    def merge(self, other: "MomentsAccumulator") -> None:
        """Count everything in that `other` has counted."""
        if other.count:
            self._join(other.count, other.mean, other.scatter)

    def moments(self) -> Moments:
        """The result. Raises TooFewImagesError below two vectors."""
        if self.count < 2:
            raise TooFewImagesError(f"a covariance needs two feature vectors at least; there are {self.count}")
        return Moments(self.count, self.mean, self.scatter / (self.count - 1))

    def _join(self, count: int, mean: Floats, scatter: Floats) -> None:
        """The pairwise update of two sets of moments."""
        total = self.count + count
        gap = mean - self.mean
        self.scatter = self.scatter + scatter + np.outer(gap, gap) * (self.count * count / total)
        self.mean = self.mean + gap * (count / total)
        self.count = total


def moments(features: NDArray[np.floating]) -> Moments:
    """Mean and covariance of features (N, D), added up in blocks. Raises ValueError."""
    accumulator = MomentsAccumulator(features.shape[1])
    for start in range(0, len(features), BLOCK):
        accumulator.add(features[start : start + BLOCK])
    return accumulator.moments()


def require_enough(count: int, what: str, remedy: str) -> None:
    """Refuse a set that is too small for any score. Raises TooFewImagesError in words."""
    if count < SMALLEST_SET:
        raise TooFewImagesError(f"{what}: {count} images are too few to score; {SMALLEST_SET} at least. {remedy}")


def frechet_distance(first: Moments, second: Moments) -> float:
    """Squared Fréchet distance of two Gaussians (FID when the features are Inception's; Heusel et al. 2017).

    `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))`. The last trace is the sum of the roots of a
    symmetric matrix's eigenvalues, so it is real and finite for rank-deficient covariances too.
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"features of {first.mean.size} and {second.mean.size} dimensions cannot be compared")
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = root @ second.covariance @ root
    overlap = np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0, None)).sum()
    gap = first.mean - second.mean
    distance = gap @ gap + np.trace(first.covariance) + np.trace(second.covariance) - 2 * overlap
    # Rounding can leave a tiny negative number for equal sets.
    return max(0.0, float(distance))


def frechet_halves(features: NDArray[np.floating], seed: int) -> float:
    """Fréchet distance between two random halves of one set: what a perfect model of the set would score."""
    order = np.random.default_rng(seed).permutation(len(features))
    middle = len(features) // 2
    return frechet_distance(moments(features[order[:middle]]), moments(features[order[middle : 2 * middle]]))


def inception_score(logits: NDArray[np.floating], splits: int, seed: int = 0) -> tuple[float, float | None]:
    """Mean and standard deviation over `splits` parts of exp(E KL(p(y|x) || p(y))) (Salimans et al. 2016).

    `logits` (N, classes) are shuffled by `seed` first, because a set may come sorted by class. The deviation of a
    single part is None. Raises ValueError when there are fewer images than parts.
    """
    if len(logits) < splits:
        raise ValueError(f"evaluate.splits = {splits} exceeds the {len(logits)} images to score")
    from torchmetrics.image.inception import InceptionScore  # the package itself hides it without torch-fidelity

    with warnings.catch_warnings():
        # It warns that it keeps all features in memory; these are only the logits.
        warnings.filterwarnings("ignore", message="Metric `InceptionScore`", category=UserWarning)
        metric = InceptionScore(feature=torch.nn.Identity(), splits=splits)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # The deviation of a single part is undefined, and answered by None below.
        warnings.filterwarnings("ignore", message=".*degrees of freedom", category=UserWarning)
        torch.manual_seed(seed)
        metric.update(torch.as_tensor(np.asarray(logits, np.float64)))
        mean, deviation = metric.compute()
    return float(mean), float(deviation) if splits > 1 else None


def class_shares(logits: NDArray[np.floating]) -> Floats:
    """The share of images that the classifier takes for each class, (classes,), adding up to 1."""
    classes = logits.shape[1]
    return np.bincount(logits.argmax(axis=1), minlength=classes) / len(logits)


def class_accuracy(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The share of images that the classifier takes for the class they were drawn for."""
    return float((logits.argmax(axis=1) == labels).mean())


def nearest(
    queries: NDArray[np.floating], references: NDArray[np.floating], count: int = 1
) -> tuple[NDArray[np.int64], Floats]:
    """For each query its `count` nearest references: indices (Q, count) and Euclidean distances, nearest first.

    Candidates are found by one matrix product per block; their distances are then computed anew without
    cancellation, so that a copy is at distance 0 exactly.
    """
    count = min(count, len(references))
    everything = torch.as_tensor(np.asarray(references, np.float64))
    squares = everything.square().sum(dim=1)
    indices, distances = [], []
    for block in _blocks(queries):
        rough = squares - 2 * block @ everything.T
        chosen = rough.topk(count, dim=1, largest=False).indices
        exact = (block[:, None] - everything[chosen]).square().sum(dim=2).sqrt()
        order = exact.argsort(dim=1, stable=True)
        indices.append(chosen.gather(1, order).numpy())
        distances.append(exact.gather(1, order).numpy())
    return np.concatenate(indices), np.concatenate(distances)


def _blocks(features: NDArray[np.floating]) -> Iterable[torch.Tensor]:
    """Rows in float64, `BLOCK` at a time."""
    for start in range(0, len(features), BLOCK):
        yield torch.as_tensor(np.asarray(features[start : start + BLOCK], np.float64))
