"""Inception Score and class statistics, block by block in float64.

torchmetrics is not used, because it keeps all logits in memory. The tests compare with torchmetrics.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ddpm.metrics.frechet import BLOCK


def inception_score(
    features: NDArray[np.floating],
    logits: Callable[[NDArray[np.floating]], NDArray[np.floating]],
    splits: int,
    seed: int = 0,
) -> tuple[float, float | None]:
    """Compute mean and standard deviation over `splits` parts of exp(E KL(p(y|x) || p(y))) (Salimans et al. 2016).

    `logits` maps features (B, D) to (B, classes). The features (N, D) are shuffled with `seed` first, because a set may
    be sorted by class. The deviation divides by the number of parts minus 1, as in torchmetrics; the code of Salimans
    et al. and torch-fidelity divide by the number. It is None for a single part. Raises ValueError for parts of unequal
    size, because the score depends on the size.
    """
    require_equal_parts(len(features), splits)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    scores = [_inception_score(features, np.sort(part.numpy()), logits) for part in order.chunk(splits)]
    return float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else None


def require_equal_parts(count: int, splits: int) -> None:
    """Refuse parts of unequal size. Raises ValueError that lists possible numbers of parts."""
    if count % splits:
        possible = [str(each) for each in range(1, 21) if count % each == 0]
        raise ValueError(
            f"evaluate.splits = {splits} (--splits) does not divide the {count} images to score into equal parts; "
            f"possible: {', '.join(possible)}"
        )


def _inception_score(
    features: NDArray[np.floating],
    indices: NDArray[np.int64],
    logits: Callable[[NDArray[np.floating]], NDArray[np.floating]],
) -> float:
    """Score one part: exp(entropy of the mean prediction - mean entropy of the predictions)."""
    total, negentropy = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for start in range(0, len(indices), BLOCK):
        block = torch.as_tensor(np.asarray(logits(features[indices[start : start + BLOCK]]), np.float64))
        log = block.log_softmax(dim=1)
        total, negentropy = total + log.exp().sum(dim=0), negentropy + (log.exp() * log).sum()
    mean = total / len(indices)
    return float((negentropy / len(indices) - torch.special.xlogy(mean, mean).sum()).exp().item())


def class_shares(guessed: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Compute the share of images predicted as each class, (classes,), with sum 1."""
    return np.bincount(guessed, minlength=classes) / len(guessed)


def class_accuracy(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Compute the share of images that are classified as the class in `labels`."""
    return float((logits.argmax(axis=1) == labels).mean())
