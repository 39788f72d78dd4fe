"""Orders of images and of classes, of which every run has nearly the shares of the whole."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ddpm.data import order


def test_equal_weights_take_turns() -> None:
    assert order.class_sequence(23, [7] * 10) == [i % 10 for i in range(23)]


@pytest.mark.parametrize("weights", [[70, 20, 10], [1, 999], [3, 0, 5], [400, 387, 412, 401], [1] * 100 + [5000]])
def test_every_run_has_the_shares_of_the_weights(weights: list[int]) -> None:
    count = 2000
    sequence = np.array(order.class_sequence(count, weights))
    shares = np.array(weights) / sum(weights)
    so_far = np.cumsum(sequence[:, None] == np.arange(len(weights)), axis=0)
    assert np.abs(so_far - shares * np.arange(1, count + 1)[:, None]).max() < 2 + max(shares) * len(weights) / 2
    for block in sequence.reshape(8, -1):  # the seed blocks on which the gate decides
        found = np.bincount(block, minlength=len(weights)) / len(block)
        assert np.abs(found - shares).sum() / 2 < 0.5 * len(weights) / len(block)


def test_as_many_as_the_weights_add_up_to_are_the_weights() -> None:
    weights = [70, 20, 10, 1]
    assert np.bincount(order.class_sequence(101, weights)).tolist() == weights


def test_no_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="no class has images"):
        order.class_sequence(3, [0, 0])


@pytest.mark.parametrize("labels", [np.sort(np.arange(1000) % 10), np.repeat([0, 1, 2], [700, 200, 100])])
def test_balanced_order_is_a_permutation_whose_prefixes_have_all_classes(labels: Any) -> None:
    found = order.balanced(labels)
    assert np.array_equal(np.sort(found), np.arange(1000))
    shares = np.bincount(labels) / 1000
    for length in (20, 100, 333):
        assert np.abs(np.bincount(labels[found[:length]], minlength=len(shares)) / length - shares).max() < 2 / length
    first = found[labels[found] == 0]
    assert (np.diff(first) < 0).any(), "the images of a class are not shuffled"
    assert np.array_equal(found, order.balanced(labels))


def test_balanced_order_of_an_unlabelled_or_empty_set() -> None:
    found = order.balanced(np.full(50, -1))
    assert np.array_equal(np.sort(found), np.arange(50))
    assert (found != np.arange(50)).any()
    assert order.balanced(np.zeros(0, np.int64)).tolist() == []


def prepared(labels: np.ndarray, held: np.ndarray, classes: int) -> Any:
    indices = {"train_indices": np.flatnonzero(~held), "heldout_indices": np.flatnonzero(held)}
    return SimpleNamespace(labels=labels, classes=tuple("abcdefghij"[:classes]), **indices)


def test_held_out_images_come_in_balanced_order() -> None:
    labels, held = np.sort(np.arange(500) % 5), np.random.default_rng(0).random(500) < 0.3
    data = prepared(labels, held, 5)
    assert sorted(order.heldout(data)) == np.flatnonzero(held).tolist()
    some = order.heldout(data, 20)
    assert held[some].all()
    assert np.bincount(labels[some]).max() <= 6


def test_class_weights_are_those_of_the_training_split_unless_the_set_is_balanced() -> None:
    held = np.zeros(100, bool)
    held[:7] = True
    uneven = np.repeat([0, 1], [60, 40])
    assert order.class_weights(prepared(uneven, held, 2)) == [53, 40]
    assert order.class_weights(prepared(np.repeat([0, 1], 50), held, 2)) == [1, 1]
    assert order.class_weights(prepared(np.full(100, -1), held, 0)) == []
