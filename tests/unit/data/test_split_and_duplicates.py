"""The held-out split and the search for duplicates, as properties."""

import hashlib
from itertools import combinations

import numpy as np
import pytest

from ddpm.data import duplicates
from ddpm.data.split import is_held_out, position

DIGESTS = [hashlib.sha256(str(index).encode()).hexdigest() for index in range(20_000)]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_held_out_is_the_share_asked_for(share: float) -> None:
    held = sum(is_held_out(digest, share) for digest in DIGESTS)
    assert abs(held / len(DIGESTS) - share) < 4 * (share * (1 - share) / len(DIGESTS)) ** 0.5


def test_positions_are_uniform_and_never_change() -> None:
    counts, _ = np.histogram([position(digest) for digest in DIGESTS], bins=10, range=(0, 1))
    assert counts.min() > 1800
    assert position("00" * 32) == pytest.approx(0.4813519345738655, abs=1e-9)


def test_a_larger_share_holds_out_the_same_images_and_more() -> None:
    small = {digest for digest in DIGESTS if is_held_out(digest, 0.1)}
    assert small < {digest for digest in DIGESTS if is_held_out(digest, 0.2)}


def test_exact_groups() -> None:
    assert duplicates.exact(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (13, 13, 3), (64, 64, 3), (4, 4, 1)])
def test_near_pairs_are_those_of_a_full_comparison(shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(3)
    images = random.integers(0, 250, (60, *shape), dtype=np.uint8)
    for index in range(20):  # differences of 1.5 to 3.4 in every pixel, half up and half down: about the limit
        step = 1 + (random.random(shape) < index / 20).astype(int) + (index > 10)
        images[20 + index] = np.clip(images[index] + step * random.choice([-1, 1], shape), 0, 255)
    images[41] = images[40]  # an exact copy is no near one
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    expected = [
        (one, two)
        for one, two in combinations(range(60), 2)
        if two != 41 and one != 41 and duplicates.rms(images[one], images[two]) <= 2.4
    ]
    assert 2 < len(expected) < 19
    found = duplicates.near(images, 2.4, digests)
    assert found.complete
    assert found.pairs == expected


def test_summaries_never_exceed_the_true_difference() -> None:
    images = np.random.default_rng(4).integers(0, 256, (40, 13, 13, 3), dtype=np.uint8)
    vectors = duplicates.summaries(images)
    for one, two in combinations(range(40), 2):
        assert np.linalg.norm(vectors[one] - vectors[two]) <= duplicates.rms(images[one], images[two]) + 1e-9


def test_too_many_pairs_are_looked_at_in_part_and_told() -> None:
    images = np.zeros((100, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(100)
    found = duplicates.near(images, 64.0, [str(index) for index in range(100)], candidates=500)
    assert not found.complete
    assert 0 < len(found.pairs) <= 500


@pytest.mark.parametrize("candidates", [20, 500, 4949, 4950])
def test_counting_candidates_ends_early_with_the_same_pairs(candidates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """4,950 pairs of 100 images: what a film has too many of is not counted to its end."""
    from scipy.spatial import cKDTree

    images = np.zeros((100, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(100)
    digests = [str(index) for index in range(100)]
    whole = duplicates.near(images, 64.0, digests, candidates)
    monkeypatch.setattr(duplicates, "BLOCK", 8)
    assert duplicates.near(images, 64.0, digests, candidates) == whole
    assert whole.complete == (candidates == 4950)
    counts, _ = duplicates._count_candidates(cKDTree(duplicates.summaries(images)), 64.0, candidates)
    assert len(counts) == {20: 8, 500: 16, 4949: 100, 4950: 100}[candidates]


def test_a_limit_of_zero_switches_the_search_off() -> None:
    assert duplicates.near(np.zeros((3, 8, 8, 1), np.uint8), 0, ["a", "b", "c"]).pairs == []


def test_groups_join_what_copies_and_near_pairs_connect_under_the_least_digest() -> None:
    digests = ["f", "b", "e", "b", "a", "d"]
    assert duplicates.groups(digests, [(0, 2), (2, 3)]) == ["b", "b", "b", "b", "a", "d"]
    assert duplicates.groups(digests, []) == ["f", "b", "e", "b", "a", "d"]
    assert duplicates.groups(["c"], []) == ["c"]


def test_groups_are_held_out_as_often_as_images() -> None:
    """The side of a group is that of one image, so a large group is held out no more often than a small one."""
    pairs = [(start + step, start + step + 1) for start in range(0, 20_000, 10) for step in range(9)]
    keys = duplicates.groups(DIGESTS, pairs)
    assert len(set(keys)) == 2000
    held = np.array([is_held_out(key, 0.2) for key in keys])
    assert (held.reshape(-1, 10).min(axis=1) == held.reshape(-1, 10).max(axis=1)).all()
    assert abs(held.mean() - 0.2) < 4 * (0.2 * 0.8 / 2000) ** 0.5
