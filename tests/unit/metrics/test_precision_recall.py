"""Neighbours, kernel distance and memorisation against brute force in float64, and what they are there to catch."""

import hashlib

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from ddpm.metrics import clipped, kid, memorisation
from ddpm.metrics.precision_recall import manifold, manifold_scores, nearest
from ddpm.metrics.scoring import Features, distances, statistics


def normal(count, seed, mean=0.0, dimension=6):
    return np.random.default_rng(seed).normal(mean, 1, size=(count, dimension))


def all_distances(first, second):
    return np.linalg.norm(first[:, None] - second[None], axis=2)


def brute(fake, real_ones, k):
    """Precision, recall, density, coverage by their definitions."""
    radii = [np.sort(all_distances(each, each), axis=1)[:, k] for each in (fake, real_ones)]
    between = all_distances(fake, real_ones)
    in_real = between <= radii[1][None]
    in_fake = between <= radii[0][:, None]
    return [in_real.any(1).mean(), in_fake.any(0).mean(), in_real.sum() / (k * len(fake)), in_real.any(0).mean()]


@pytest.mark.parametrize(("k", "end"), [(3, ""), (5, "_k5")])
def test_neighbour_scores_are_their_definitions(k, end):
    fake, others = normal(700, 0, 0.4), normal(1100, 1)  # several tiles
    found = manifold_scores(manifold(fake), manifold(others))
    ours = [found[f"{name}{end}"] for name in ("precision", "recall", "density", "coverage")]
    assert ours == pytest.approx(brute(fake, others, k), rel=1e-12)


def brute_clipped(fake, real_ones, k=5):
    """Clipped density, and clipped coverage before its calibration, by their definitions."""
    within, between = all_distances(real_ones, real_ones), all_distances(fake, real_ones)
    radii = np.sort(within, axis=1)[:, k]
    limits = np.minimum(radii, np.median(radii))
    density = np.minimum((between <= limits).sum(1) / k, 1).mean()
    ideal = np.minimum(((within <= limits[:, None]).sum(0) - 1) / k, 1).mean()
    return min(1, density / ideal), np.minimum((between <= radii).sum(0) / k, 1).mean()


def test_clipped_scores_are_their_definitions_and_the_authors_own_numbers():
    """The numbers were computed once by the authors' code, whose coverage is a multiple of 1/(M + 1)."""
    for real_count, fake_count, mean, density, coverage in (
        (600, 600, 0.0, 0.98344573881, 1.0),
        (700, 500, 0.8, 0.53368146214, 0.39720558882),
        (400, 600, 0.2, 1.0, 0.82362728785),
    ):
        others, fake = normal(real_count, 1), normal(fake_count, 0, mean)
        found = manifold_scores(manifold(fake), manifold(others))
        expected, raw = brute_clipped(fake, others)
        assert found["clipped_density"] == pytest.approx(expected, rel=1e-12)
        assert found["clipped_density"] == pytest.approx(density, rel=1e-9)
        assert found["clipped_coverage"] == pytest.approx(coverage, abs=2 / fake_count)
        good = round(found["clipped_coverage"] * fake_count)
        if good < fake_count:
            assert clipped.expected_coverage(fake_count, real_count, 5)[good] == pytest.approx(raw, abs=2e-3)


def test_the_expected_coverage_is_that_of_samples_drawn_like_the_real_images():
    drawn = []
    for seed in range(40):
        others, fake = normal(60, seed, dimension=2), normal(40, 100 + seed, dimension=2)
        drawn.append(brute_clipped(fake, others)[1])
    expected = clipped.expected_coverage(40, 60, 5)
    assert expected[0] == 0
    assert (np.diff(expected) > 0).all()
    assert np.mean(drawn) == pytest.approx(expected[-1], abs=3 * np.std(drawn) / np.sqrt(len(drawn)))


def test_clipped_scores_fall_as_the_share_of_good_samples_does_and_ignore_a_real_outlier():
    others = np.concatenate([normal(599, 1), np.full((1, 6), 60.0)])
    good = normal(600, 2)
    bad = np.concatenate([good[:300], normal(300, 3, 55.0)])  # half of them, in the outlier's wide ball
    full, half = (manifold_scores(manifold(fake), manifold(others)) for fake in (good, bad))
    assert half["precision"] > 0.7  # the outlier's ball holds what is bad
    assert half["clipped_density"] == pytest.approx(full["clipped_density"] / 2, abs=0.05)
    assert half["clipped_coverage"] == pytest.approx(0.5, abs=0.1)


def test_nearest_agrees_with_all_distances_and_a_copy_is_at_zero():
    random = np.random.default_rng(9)
    references = (random.normal(size=(700, 30)) + 1000).astype(np.float32)
    queries = (random.normal(size=(600, 30)) + 1000).astype(np.float32)
    queries[5] = references[321]
    indices, found = nearest(queries, references, 3)
    everything = all_distances(queries.astype(float), references.astype(float))
    np.testing.assert_array_equal(indices, everything.argsort(axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(found, np.sort(everything, axis=1)[:, :3], rtol=1e-9)
    assert (indices[5, 0], found[5, 0]) == (321, 0)
    assert nearest(queries, references[:2], 5)[0].shape == (600, 2)


def test_kernel_distance_is_torchmetrics_own_and_its_formula():
    x, y = normal(60, 2, 0.5), normal(60, 3)
    expected = poly_mmd(torch.from_numpy(y), torch.from_numpy(x))
    assert kid.squared_mmd(x, y) == pytest.approx(float(expected), rel=1e-9)
    y = normal(85, 3)
    within = [
        np.mean([(a @ b / 6 + 1) ** 3 for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)
    ]
    between = np.mean([(a @ b / 6 + 1) ** 3 for a in x for b in y])
    assert kid.squared_mmd(x, y) == pytest.approx(sum(within) - 2 * between, rel=1e-9)


def test_kid_of_equal_distributions_is_zero_within_its_error_even_if_sorted():
    for seed in range(3):
        fake, others = normal(600, 10 + seed), normal(900, 20 + seed)
        found = kid.kid(kid.subset_values(fake[fake[:, 0].argsort()], others[others[:, 0].argsort()]))
        assert abs(found["kid"]) < 4 * found["kid_se"]
    shifted = kid.kid(kid.subset_values(normal(600, 10, 0.5), normal(900, 20)))
    assert shifted["kid"] > 10 * shifted["kid_se"]


def test_a_collapsed_model_has_high_precision_and_low_recall():
    modes = np.repeat(np.arange(10.0), 60)[:, None] * 8 + normal(600, 4)
    collapsed = 8 * 3 + normal(300, 5)  # the fourth of ten
    found, _ = distances(Features(collapsed), statistics(Features(modes)))
    assert found["precision"] > 0.8  # real images have 0.87 at this count
    assert found["recall"] < 0.2
    assert found["coverage"] < 0.3


@pytest.mark.parametrize("dimension", [6, 128, 512])
def test_a_copy_of_a_set_with_repeated_images_scores_as_a_copy(dimension):
    """Radii of images that are there four times and more are 0, and the distance of a copy has to be 0 too."""
    once = normal(300, 0, mean=3.0, dimension=dimension).astype(np.float32)
    images = np.concatenate([once, once[:200], once[:200], once[:100], once[:100], once[:100], once[:100]])
    copied = images[np.random.default_rng(1).permutation(len(images))]
    found = manifold_scores(manifold(copied), manifold(images))
    for name in ("precision", "recall", "coverage", "precision_k5", "recall_k5", "coverage_k5"):
        assert found[name] == 1, name


def test_too_few_images_have_no_neighbours_and_no_kid():
    with pytest.raises(ValueError, match="5 images are too few for precision and recall; at least 6"):
        manifold(normal(5, 0))
    with pytest.raises(ValueError, match="19 images are too few for KID"):
        kid.subset_values(normal(19, 0), normal(100, 0))


def judged(samples, train, heldout):
    indices, found = nearest(samples, train, memorisation.NEIGHBOURS)
    return memorisation.evidence(found, indices[:, 0], nearest(heldout, train, memorisation.NEIGHBOURS)[1])


def test_copies_are_flagged_all_or_a_tenth_and_new_images_are_not():
    train, heldout, new = normal(800, 6), normal(300, 7), normal(400, 8)
    fresh = judged(new, train, heldout)
    assert not fresh["flagged"]
    assert fresh["p_value"] > 0.01
    copied = judged(train[:400], train, heldout)
    assert copied["flagged"]
    assert (copied["ratio"], copied["near_copies"]) == (0, 400)
    assert copied["p_value"] < 1e-50
    mixed = judged(np.concatenate([train[:40], new[40:]]), train, heldout)
    assert mixed["flagged"]
    assert mixed["ratio"] > 0.8  # the median alone would not have seen them
    assert sorted(pair[:2] for pair in mixed["worst"])[0] == [0, 0]


def film(scenes, frames, seed, spread=0.02):
    """Frames (scenes, frames, D) of scenes that lie apart, and each frame near its scene."""
    random = np.random.default_rng(seed)
    return scenes[:, None] + spread * random.normal(size=(len(scenes), frames, scenes.shape[1]))


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_held_out_images_with_a_near_copy_in_training_are_no_yardstick_for_copying(share):
    """Ten frames of each scene (or of 70 % of them), held out at random: a model that repeats frames is found."""
    scenes = normal(400, 3, dimension=16)
    filmed = film(scenes[: int(400 * share)], 10, 0).reshape(-1, scenes.shape[1])
    images = np.concatenate(
        [filmed, scenes[int(400 * share) :], normal(600, 4, dimension=16)[: int(600 * (1 - share))]]
    )
    held = np.random.default_rng(1).random(len(images)) < 0.2
    train, heldout = images[~held], images[held]
    model = film(train[np.random.default_rng(2).permutation(len(train))[:1000]], 1, 5, 0.04)[:, 0]
    found = judged(model, train, heldout)
    assert found["flagged"]
    assert found["near_copies"] > 900
    assert found["heldout_with_near_copy"] == held[: len(filmed)].sum()
    assert not judged(normal(500, 9, dimension=16), train, heldout)["flagged"]


@pytest.mark.parametrize("dimension", [2, 4, 16])
def test_new_images_hardly_ever_count_as_near_copies(dimension):
    """However densely the training images lie."""
    images, fresh = normal(4000, 0, dimension=dimension), normal(1000, 1, dimension=dimension)
    found = memorisation.near_copies(nearest(fresh, images, memorisation.NEIGHBOURS)[1])
    assert found.mean() <= 1.5 * memorisation.GAP**-dimension + 0.001
    assert not judged(fresh[:500], images, fresh[500:])["flagged"]


def test_without_enough_unseen_images_there_is_no_ratio():
    assert "memorisation_ratio" not in memorisation.typical(np.ones(50), np.ones(memorisation.FEWEST - 1))
    assert memorisation.typical(np.ones(50), 2 * np.ones(memorisation.FEWEST))["memorisation_ratio"] == 0.5


def test_pixel_copies_are_counted():
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), np.uint8)
    samples = np.concatenate([images[[3, 3, 15]], 255 - images[:5]])
    training = {hashlib.sha256(image.tobytes()).digest()[: memorisation.DIGEST] for image in images[:10]}
    assert memorisation.count_copies(samples, training) == 2
    assert memorisation.evidence(np.ones((8, 2)), np.zeros(8, int), np.ones((29, 2)), 2)["flagged"]
