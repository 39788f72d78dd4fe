"""Scores against closed forms, and against torchmetrics and scipy on the same features."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from ddpm.metrics import frechet
from ddpm.metrics import inception_score as scores
from ddpm.metrics.frechet import Moments


def gaussian(dimension, seed, count=10_000):
    random = np.random.default_rng(seed)
    factor = random.normal(size=(dimension, dimension)) / dimension**0.5
    return Moments(count, random.normal(size=dimension), factor @ factor.T + 0.1 * np.eye(dimension))


def with_sqrtm(first, second):
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance).real
    gap = first.mean - second.mean
    return gap @ gap + np.trace(first.covariance + second.covariance - 2 * root)


def test_distance_of_equal_sets_is_zero():
    features = np.random.default_rng(0).normal(size=(500, 20))
    assert frechet.frechet_distance(frechet.moments(features), frechet.moments(features)) == pytest.approx(0, abs=1e-9)


def test_distance_of_a_shift_is_its_square():
    moments = gaussian(16, 0)
    shift = np.linspace(-1, 1, 16)
    shifted = Moments(moments.count, moments.mean + shift, moments.covariance)
    assert frechet.frechet_distance(moments, shifted) == pytest.approx(shift @ shift, rel=1e-9)


def test_distance_of_scaled_axes_has_a_closed_form():
    # Commuting covariances: the sum of squared differences of the standard deviations.
    first, second = np.array([1.0, 2.0, 3.0]), np.array([4.0, 1.0, 0.0])
    distance = frechet.frechet_distance(
        Moments(9, np.zeros(3), np.diag(first**2)), Moments(9, np.zeros(3), np.diag(second**2))
    )
    assert distance == pytest.approx(((first - second) ** 2).sum(), rel=1e-9)


@pytest.mark.parametrize("dimension", [3, 64, 200])
def test_distance_agrees_with_scipy_and_is_symmetric(dimension):
    first, second = gaussian(dimension, 1), gaussian(dimension, 2)
    distance = frechet.frechet_distance(first, second)
    assert distance == pytest.approx(with_sqrtm(first, second), rel=1e-6)
    assert distance == pytest.approx(frechet.frechet_distance(second, first), rel=1e-9)


def test_distance_agrees_with_torchmetrics_on_the_same_features():
    random = np.random.default_rng(3)
    real, fake = random.normal(size=(3000, 32)), random.normal(0.2, 1.3, size=(2000, 32))
    network = torch.nn.Identity()
    network.num_features = 32
    reference = FrechetInceptionDistance(feature=network)
    reference.set_dtype(torch.float64)
    reference.update(torch.from_numpy(real), real=True)
    reference.update(torch.from_numpy(fake), real=False)
    ours = frechet.frechet_distance(frechet.moments(fake), frechet.moments(real))
    assert ours == pytest.approx(float(reference.compute()), rel=1e-6)


def test_distance_is_finite_and_right_when_covariances_have_no_full_rank():
    random = np.random.default_rng(4)
    few, many = random.normal(size=(60, 300)), random.normal(size=(80, 300))
    distance = frechet.frechet_distance(frechet.moments(few), frechet.moments(many))
    # The trace of (C1 C2)^(1/2) is the sum of singular values of the product of two thin square roots.
    roots = [(part - part.mean(0)) / (len(part) - 1) ** 0.5 for part in (few, many)]
    overlap = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    gap = few.mean(0) - many.mean(0)
    expected = gap @ gap + (roots[0] ** 2).sum() + (roots[1] ** 2).sum() - 2 * overlap
    assert distance == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [2, 40, 64, 65, 300])
def test_fewer_images_than_dimensions_are_the_same_distance_by_a_smaller_problem(count):
    random = np.random.default_rng(count)
    features, reference = random.normal(2, 3, (count, 64)), gaussian(64, seed=1)
    expected = frechet.frechet_distance(frechet.moments(features), reference)
    assert frechet.frechet_to(features, reference) == pytest.approx(expected, rel=1e-6)
    chosen = np.arange(0, count, 2) if count > 2 else np.arange(2)
    expected = frechet.frechet_distance(frechet.moments(features[chosen]), reference)
    assert frechet.frechet_to(features, reference, chosen) == pytest.approx(expected, rel=1e-6)


def test_distance_does_not_depend_on_the_blocks_that_features_come_in():
    random = np.random.default_rng(7)
    real, fake = random.normal(size=(900, 40)), random.normal(0.3, 1.2, size=(700, 40)) + 50
    expected = frechet.frechet_distance(frechet.moments(fake), frechet.moments(real))
    for size in (1, 7, 700):
        blocks = frechet.MomentsAccumulator(40)
        for start in range(0, 700, size):
            blocks.add(fake[start : start + size])
        assert frechet.frechet_distance(blocks.moments(), frechet.moments(real)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rank", [128, 40])
def test_distance_of_commuting_covariances_is_exact_in_any_basis(rank):
    random = np.random.default_rng(2)
    basis, _ = np.linalg.qr(random.normal(size=(128, 128)))
    first, second = random.uniform(0.5, 2, size=(2, 128))
    first[rank:] = second[: 128 - rank] = 0
    one, other = (Moments(9, np.zeros(128), (basis * axes**2) @ basis.T) for axes in (first, second))
    assert frechet.frechet_distance(one, other) == pytest.approx(((first - second) ** 2).sum(), rel=1e-6)


def test_infinity_takes_off_what_a_finite_count_adds():
    random = np.random.default_rng(0)
    reference = Moments(10**9, np.zeros(32), np.eye(32))
    true = 32 * (0.1**2 + 0.1**2)  # mean 0.1 and standard deviation 1.1 against 0 and 1
    features = [random.normal(0.1, 1.1, size=(2000, 32)) for _ in range(6)]
    raw = np.mean([frechet.frechet_distance(frechet.moments(each), reference) for each in features])
    found = [frechet.frechet_infinity(each, reference) for each in features]
    assert raw > 1.2 * true
    assert np.mean(found) == pytest.approx(true, abs=3 * np.std(found) / 6**0.5 + 0.02)
    assert frechet.frechet_infinity(features[0], reference) == found[0]


def test_distance_between_different_dimensions_is_refused():
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        frechet.frechet_distance(gaussian(3, 0), gaussian(4, 0))


def test_moments_are_those_of_numpy_even_far_from_the_origin():
    features = np.random.default_rng(5).normal(1e6, 1, size=(2000, 8))
    found = frechet.moments(features)
    np.testing.assert_allclose(found.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(features, rowvar=False), rtol=1e-6, atol=1e-8)


def test_moments_merge_to_those_of_the_whole():
    features = np.random.default_rng(6).normal(size=(900, 5))
    whole, first, second = (frechet.MomentsAccumulator(5) for _ in range(3))
    whole.add(features)
    first.add(features[:100])
    second.add(features[100:])
    second.add(features[:0])
    first.merge(second)
    assert first.moments().count == 900
    np.testing.assert_allclose(first.moments().covariance, whole.moments().covariance, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(first.moments().mean, whole.moments().mean, rtol=1e-12)


def test_features_that_are_not_finite_are_refused():
    features = np.zeros((100, 4))
    features[7, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        frechet.moments(features)


def test_features_that_are_not_finite_are_refused_in_the_smaller_problem_too():
    with pytest.raises(ValueError, match="NaN or infinity"):
        frechet.frechet_to(np.full((4, 9), np.nan), gaussian(9, seed=1))


def test_a_covariance_of_one_image_is_refused():
    with pytest.raises(frechet.TooFewImagesError, match="two feature vectors"):
        frechet.moments(np.zeros((1, 4)))


def test_too_small_a_set_is_refused_in_words():
    with pytest.raises(frechet.TooFewImagesError, match=r"the samples: 49 images .* at least 50\. Raise sample\.count"):
        frechet.require_enough(49, "the samples", "Raise sample.count.")
    frechet.require_enough(50, "the samples", "")


def inception_score(logits, splits, seed=0):
    return scores.inception_score(logits, lambda rows: rows, splits, seed)


def test_inception_score_of_sure_and_even_answers_is_the_number_of_classes():
    logits = 200 * np.eye(10)[np.arange(2000) % 10]
    mean, deviation = inception_score(logits, splits=1)
    assert mean == pytest.approx(10, rel=1e-6)
    assert deviation is None


def test_inception_score_of_constant_answers_is_one():
    mean, deviation = inception_score(np.tile(np.linspace(0, 3, 7), (100, 1)), splits=4)
    assert (mean, deviation) == pytest.approx((1, 0), abs=1e-9)


def test_inception_score_does_not_see_the_order_of_a_set_sorted_by_class():
    logits = 200 * np.eye(10)[np.sort(np.arange(2000) % 10)]
    assert inception_score(logits, splits=10)[0] > 9.5


def test_inception_score_is_its_formula_and_leaves_the_random_state_alone():
    logits = np.random.default_rng(8).normal(0, 3, size=(300, 10))
    torch.manual_seed(1)
    expected_next = torch.rand(1)
    torch.manual_seed(1)
    mean, _ = inception_score(logits, splits=1)
    assert torch.equal(torch.rand(1), expected_next)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert mean == pytest.approx(np.exp((p * np.log(p / p.mean(0))).sum(1).mean()), rel=1e-9)


def test_inception_score_is_torchmetrics_own_over_the_same_parts():
    logits = np.random.default_rng(8).normal(0, 3, size=(2312, 10))  # parts of several blocks
    metric = InceptionScore(feature=torch.nn.Identity(), splits=4)
    metric.update(torch.from_numpy(logits))
    torch.manual_seed(5)
    expected = [float(value) for value in metric.compute()]
    assert inception_score(logits, splits=4, seed=5) == pytest.approx(expected, rel=1e-9)


def test_inception_score_over_parts_repeats_itself():
    logits = np.random.default_rng(8).normal(0, 3, size=(300, 10))
    torch.manual_seed(1)
    first = inception_score(logits, splits=5)
    torch.manual_seed(2)
    assert inception_score(logits, splits=5) == first
    assert inception_score(logits, splits=5, seed=1) != first


def test_more_splits_than_images_are_refused():
    with pytest.raises(ValueError, match=r"evaluate\.splits = 10 .* does not divide the 9 images.*possible: 1, 3, 9"):
        inception_score(np.zeros((9, 3)), splits=10)


def test_class_shares_and_accuracy():
    logits = np.eye(4)[[0, 0, 0, 1, 3, 3]]
    np.testing.assert_allclose(scores.class_shares(logits.argmax(axis=1), 4), [1 / 2, 1 / 6, 0, 1 / 3])
    assert scores.class_accuracy(logits, np.array([0, 0, 1, 1, 3, 2])) == pytest.approx(4 / 6)
