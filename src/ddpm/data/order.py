"""Orders in which every run of consecutive images has nearly the class shares of the whole.

Prepared images lie in the order of their paths, and so of their class folders: the first of them are of one class.
Whatever takes some of them takes them in `balanced` order, and whatever requests classes does so in `class_sequence`.
"""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ddpm.data.prepared import PreparedSet

SEED = 0
"""Of the shuffle within each class: one for all uses, so that all of them see the same images first."""


def class_sequence(count: int, weights: Sequence[int]) -> list[int]:
    """`count` class indices in proportion to the weights of the classes, every prefix as near to it as can be.

    Each index is that of the class with the largest quotient `weight / (2 k + 1)`, where k is how often it was taken
    before (Sainte-Laguë's method of apportionment); ties go to the lower index. With equal weights the classes take
    turns, so index i is `i % len(weights)`. A class of weight 0 is never taken. Raises ValueError without a class.
    """
    # The inverse of the quotient, as a correctly rounded ratio of integers: equal ratios tie exactly.
    waiting = [(1 / weight, index, 0) for index, weight in enumerate(weights) if weight > 0]
    if not waiting:
        raise ValueError("there is no class with images, so no classes can be requested in proportion to them")
    heapq.heapify(waiting)
    found = []
    for _ in range(count):
        _, index, taken = waiting[0]
        found.append(index)
        heapq.heapreplace(waiting, ((2 * taken + 3) / weights[index], index, taken + 1))
    return found


def balanced(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """A permutation of images with these labels (N,), -1 for none, of which every run has nearly the same classes.

    The images of each class are shuffled by SEED and dealt out in `class_sequence`.
    """
    shuffled = np.random.default_rng(SEED).permutation(len(labels))
    present, kinds = np.unique(labels, return_inverse=True)
    members = [iter(shuffled[kinds[shuffled] == kind].tolist()) for kind in range(len(present))]
    sequence = class_sequence(len(labels), np.bincount(kinds).tolist()) if len(labels) else []
    return np.array([next(members[kind]) for kind in sequence], np.int64)


def heldout(data: PreparedSet, count: int | None = None) -> NDArray[np.int64]:
    """Indices of the first `count` held-out images (None: of all) in balanced order."""
    held = data.heldout_indices
    chosen: NDArray[np.int64] = held[balanced(data.labels[held])[:count]]
    return chosen


def class_weights(data: PreparedSet) -> list[int]:
    """Weights of the classes for samples that are scored against the training split: its images of each class.

    Equal ones if the whole set has equally many images of each class: that its split has not is chance. Empty for an
    unlabelled set.
    """
    if not data.classes:
        return []
    whole = np.bincount(data.labels, minlength=len(data.classes))
    if (whole == whole[0]).all():
        return [1] * len(data.classes)
    train: list[int] = np.bincount(data.labels[data.train_indices], minlength=len(data.classes)).tolist()
    return train
