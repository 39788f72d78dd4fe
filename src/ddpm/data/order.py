"""Class-balanced orders: every run of consecutive images has nearly the class proportions of the whole set.

Prepared images are sorted by path and therefore by class folder, so the first of them all belong to one class. Subsets
of images are taken in `balanced` order; classes are requested in the order of `class_sequence`.
"""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ddpm.data.prepared import PreparedSet

SEED = 0
"""Seed of the shuffle within each class; shared by all uses, so that all of them take the same images first."""


def class_sequence(count: int, weights: Sequence[int]) -> list[int]:
    """Return `count` class indices in proportion to the class weights; every prefix is as proportional as possible.

    Sainte-Laguë apportionment: each index is the class with the largest quotient `weight / (2 k + 1)`, where k is the
    number of times it was chosen before; ties go to the lower index. With equal weights, index i is
    `i % len(weights)`. A class of weight 0 is never chosen. Raises ValueError if no weight is positive.
    """
    # The heap holds the inverse quotient, a correctly rounded ratio of integers: equal quotients tie exactly.
    waiting = [(1 / weight, index, 0) for index, weight in enumerate(weights) if weight > 0]
    if not waiting:
        raise ValueError("no class has images, so classes cannot be requested in proportion to them")
    heapq.heapify(waiting)
    found = []
    for _ in range(count):
        _, index, taken = waiting[0]
        found.append(index)
        heapq.heapreplace(waiting, ((2 * taken + 3) / weights[index], index, taken + 1))
    return found


def balanced(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a permutation (N,) of images with these labels (N,), -1 for none, in class-balanced order.

    The images of each class are shuffled with SEED and interleaved by `class_sequence`.
    """
    shuffled = np.random.default_rng(SEED).permutation(len(labels))
    present, kinds = np.unique(labels, return_inverse=True)
    members = [iter(shuffled[kinds[shuffled] == kind].tolist()) for kind in range(len(present))]
    sequence = class_sequence(len(labels), np.bincount(kinds).tolist()) if len(labels) else []
    return np.array([next(members[kind]) for kind in sequence], np.int64)


def heldout(data: PreparedSet, count: int | None = None) -> NDArray[np.int64]:
    """Return the indices of the first `count` held-out images (None: all) in balanced order."""
    held = data.heldout_indices
    chosen: NDArray[np.int64] = held[balanced(data.labels[held])[:count]]
    return chosen


def class_weights(data: PreparedSet) -> list[int]:
    """Return class weights for samples that are scored against the training split: its number of images per class.

    Equal weights if the whole set is balanced, because its split then deviates only by chance. Empty for an unlabelled
    set.
    """
    if not data.classes:
        return []
    whole = np.bincount(data.labels, minlength=len(data.classes))
    if (whole == whole[0]).all():
        return [1] * len(data.classes)
    train: list[int] = np.bincount(data.labels[data.train_indices], minlength=len(data.classes)).tolist()
    return train
