"""Inception Score and class statistics, block by block in float64.

torchmetrics is not used for the score, because it keeps all logits. The tests compare with torchmetrics.
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
    """Mean and standard deviation over `splits` parts of exp(E KL(p(y|x) || p(y))) (Salimans et al. 2016).

    `logits` maps features (B, D) to (B, classes). The features (N, D) are shuffled by `seed` first, because a set may
    come sorted by class. The deviation divides by the number of parts less 1, as torchmetrics' does; the code of
    Salimans et al. and torch-fidelity divide by the number. Of a single part it is None. Raises ValueError for parts of
    unequal size: a score depends on the size.
    """
    require_equal_parts(len(features), splits)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    scores = [_inception_score(features, np.sort(part.numpy()), logits) for part in order.chunk(splits)]
    return float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else None


def require_equal_parts(count: int, splits: int) -> None:
    """Refuse parts of unequal size. Raises ValueError that names numbers of parts that are possible."""
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
    """Of one part: the entropy of the mean answer less the mean entropy of the answers, as an exponential."""
    total, surprise = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for start in range(0, len(indices), BLOCK):
        answers = torch.as_tensor(np.asarray(logits(features[indices[start : start + BLOCK]]), np.float64))
        log = answers.log_softmax(dim=1)
        total, surprise = total + log.exp().sum(dim=0), surprise + (log.exp() * log).sum()
    mean = total / len(indices)
    return float((surprise / len(indices) - torch.special.xlogy(mean, mean).sum()).exp().item())


def class_shares(guessed: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The share of images taken for each class, (classes,), adding up to 1."""
    return np.bincount(guessed, minlength=classes) / len(guessed)


def class_accuracy(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The share of images that the classifier takes for the class they were drawn for."""
    return float((logits.argmax(axis=1) == labels).mean())
