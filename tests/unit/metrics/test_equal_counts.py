"""Scores that depend on the number of images are measured at equal numbers."""

import numpy as np
import pytest

from ddpm.evaluation.score_record import ScoreRecord
from ddpm.metrics import frechet, inception_score
from ddpm.metrics.floors import floors
from ddpm.metrics.record import Reference, score_features
from ddpm.metrics.scoring import Features


def gaussian(count, seed, dimension=64):
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


class Even:
    """An extractor of Gaussian features, whose logits are its first ten."""

    name, sha256, dimension, classes, resize = "even", "d" * 64, 64, 0, "none"

    def logits(self, features):
        return features[:, :10].astype(np.float64)


@pytest.fixture(scope="module")
def even():
    """The reference of 4,000 images, 1,000 held out, all of one distribution."""
    train, heldout = gaussian(4000, 0), gaussian(1000, 1)
    known = floors(Features(train), Features(heldout), {}, seed=0)
    return Reference(frechet.moments(train), train, heldout, known.scores, (), "e" * 64, floor_counts=known.counts)


@pytest.mark.parametrize("count", [500, 1000, 2000, 4000])
def test_the_floor_of_equal_counts_is_what_new_images_score_whatever_their_number(even, count):
    """Floors of other counts are above it or below: new images of the very distribution beat both of them."""
    new = [score_features(Features(gaussian(count, seed)), None, Even(), even, splits=5)["fid"] for seed in (7, 8, 9)]
    found = score_features(Features(gaussian(count, 7)), None, Even(), even, splits=5)
    assert found["fid_equal_counts"] == pytest.approx(np.mean(new), rel=0.1)
    assert found["floors"]["fid"]["equal_counts"] == found["fid_equal_counts"]
    assert ScoreRecord.from_json(found).fid_ratio == pytest.approx(1, abs=0.15)
    if count == 2000:
        assert max(new) < min(found["fid_floor"], found["fid_halves"])


def test_the_inception_score_of_real_images_is_of_unseen_ones_in_parts_of_the_same_size(even):
    """The score depends on part size, so a score of parts of another size is not a floor."""
    samples = Features(gaussian(2000, 7))
    for splits in (2, 10, 40):
        found = score_features(samples, None, Even(), even, splits=splits)
        assert found["inception_score"] == pytest.approx(found["inception_score_real"], rel=0.03)
        size = 2000 // splits
        parts = max(1, 1000 // size)
        expected = inception_score.inception_score(even.heldout, Even().logits, parts)[0]
        assert found["inception_score_real"] == pytest.approx(expected, rel=0.01)


def test_parts_of_unequal_size_are_refused_with_what_is_possible(even):
    with pytest.raises(ValueError, match=r"splits = 7 .* does not divide the 500 images.*possible: 1, 2, 4, 5, 10, 20"):
        score_features(Features(gaussian(500, 7)), None, Even(), even, splits=7)
