"""The whole score of a set: real images do well, and each way of cheating moves its number."""

import numpy as np
import pytest

from ddpm.metrics import frechet
from ddpm.metrics.floors import floors
from ddpm.metrics.record import Reference, score, score_features
from ddpm.metrics.scoring import Features


@pytest.fixture(scope="module")
def reference(digits, extractor):
    train, heldout = extractor(digits[0][:1000]), extractor(digits[0][1000:1400])
    shares = np.bincount(digits[1][:1000], minlength=10) / 1000
    noise = extractor(np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), np.uint8))
    known = floors(
        Features(train), Features(heldout), {"noise": Features(noise)}, seed=0, extractor=extractor, train_shares=shares
    )
    classes = tuple("0123456789")
    return Reference(
        frechet.moments(train), train, heldout, known.scores, classes, "b" * 64, shares, noise, None, known.counts
    )


@pytest.fixture(scope="module")
def unseen(digits):
    """Real images that neither the classifier nor the reference knows."""
    return digits[0][1400:1796], digits[1][1400:1796]


@pytest.fixture(scope="module")
def good(unseen, extractor, reference):
    return score(*unseen, extractor, reference, splits=4)


def test_real_images_score_like_real_images(good):
    assert good["fid"] < 3 * good["fid_floor"]
    assert good["class_accuracy"] > 0.95
    assert good["class_share_min"] > 0.05
    assert sum(good["class_histogram"].values()) == pytest.approx(1, abs=1e-4)
    assert 0.7 < good["memorisation_ratio"] < 1.4
    assert 6 < good["inception_score"] < good["inception_score_real"] + 1


def test_every_score_carries_its_conditions(good):
    assert good["conditions"] == {
        "extractor": "classifier",
        "extractor_sha256": "a" * 64,
        "resize": "none",
        "feature_dimension": 32,
        "reference_sha256": "b" * 64,
        "reference_count": 1000,
        "count": 396,
        "inception_score_splits": 4,
        "blocks": 1,
        "full_rank": True,
    }


def test_noise_scores_worst(unseen, extractor, reference, good):
    noise = np.random.default_rng(0).integers(0, 256, unseen[0].shape, np.uint8)
    found = score(noise, unseen[1], extractor, reference, splits=4)
    assert found["fid"] > 20 * good["fid"]
    assert found["class_accuracy"] < 0.3


def test_more_noise_is_a_larger_distance(unseen, extractor, reference):
    random = np.random.default_rng(1)

    def distance(level):
        noisy = np.clip(np.rint(unseen[0] + random.normal(0, level, unseen[0].shape)), 0, 255).astype(np.uint8)
        return score(noisy, unseen[1], extractor, reference, splits=4)["fid"]

    distances = [distance(level) for level in (0, 40, 80, 160)]
    assert distances == sorted(distances)


def test_a_copy_of_the_training_set_is_caught(digits, extractor, reference):
    found = score(digits[0][:1000], digits[1][:1000], extractor, reference, splits=4)
    assert found["fid"] < 1e-3
    assert found["nearest_train_distance"] < 1e-3
    assert found["memorisation_ratio"] < 0.01


def test_a_lost_class_moves_the_histogram(unseen, extractor, reference, good):
    kept = unseen[1] != 3
    found = score(unseen[0][kept], unseen[1][kept], extractor, reference, splits=1)
    assert found["class_share_min"] < 0.03
    assert found["class_histogram"]["3"] == found["class_share_min"]
    assert found["fid"] > good["fid"]


def test_wrong_classes_lower_the_accuracy_alone(unseen, extractor, reference, good):
    found = score(unseen[0], (unseen[1] + 1) % 10, extractor, reference, splits=4)
    assert found["class_accuracy"] < 0.05
    assert found["fid"] == good["fid"]


@pytest.mark.parametrize("labels", [None, np.full(396, -1)])
def test_without_asked_classes_there_is_no_accuracy(labels, unseen, extractor, reference):
    found = score(unseen[0], labels, extractor, reference, splits=4)
    assert "class_accuracy" not in found
    assert "class_share_min" in found


def test_tiny_sets_are_refused(unseen, extractor, reference):
    with pytest.raises(frechet.TooFewImagesError, match=r"49 images are too few.*sample\.count"):
        score(unseen[0][:49], None, extractor, reference, splits=4)


def test_tiny_splits_are_refused():
    few, many = Features(np.zeros((49, 4), np.float32)), Features(np.zeros((400, 4), np.float32))
    with pytest.raises(frechet.TooFewImagesError, match=r"held-out split: 49.*prepare\.holdout"):
        floors(many, few, {"noise": many}, seed=0)
    with pytest.raises(frechet.TooFewImagesError, match="half of the training split: 49"):
        floors(many.part(slice(99)), many, {"noise": many}, seed=0)


def test_a_covariance_without_full_rank_is_said(digits, extractor):
    from dataclasses import replace

    wide = np.random.default_rng(0).normal(size=(300, 32)).astype(np.float32)
    known = Reference(frechet.moments(wide), wide, wide[:60], {}, tuple("0123456789"), "c" * 64)
    assert score(digits[0][:60], None, extractor, known, splits=1)["conditions"]["full_rank"]
    thin = replace(known, moments=frechet.moments(wide[:30]))
    assert not score(digits[0][:60], None, extractor, thin, splits=1)["conditions"]["full_rank"]


def test_floors_fall_with_the_number_of_images():
    seen = Features(np.random.default_rng(0).normal(size=(4000, 16)).astype(np.float32))
    small = floors(seen.part(slice(400)), seen.part(slice(400, 600)), {"noise": seen}, seed=0).scores["fid"]
    large = floors(seen.part(slice(2000)), seen.part(slice(2000, 4000)), {"noise": seen}, seed=0).scores["fid"]
    assert small["halves"] > 2 * large["halves"]
    assert small["heldout"] > 2 * large["heldout"]


def test_a_classifier_of_other_classes_is_refused(unseen, extractor, reference):
    from dataclasses import replace

    with pytest.raises(ValueError, match="has 10 classes, the data set has 2"):
        score(*unseen, extractor, replace(reference, classes=("a", "b")), splits=4)


def test_noise_is_worst_and_a_copy_is_known_in_every_floor(reference):
    lower = {"fid", "fid_infinity", "kid", "class_histogram_distance"}
    higher = {"precision", "recall", "density", "coverage", "precision_k5", "recall_k5", "density_k5", "coverage_k5"}
    for name in lower | higher:
        floor = reference.floors[name]
        real = [floor[kind] for kind in ("heldout", "halves", "copy")]
        assert floor["noise"] > max(real) if name in lower else floor["noise"] < min(real), name
    assert reference.floors["memorisation_ratio"]["copy"] == 0
    assert reference.floors["memorisation_ratio"]["heldout"] == 1
    assert reference.floor_counts == {"heldout": 400, "halves": 500, "noise": 300, "copy": 1000}


def test_an_unbalanced_set_moves_the_histogram_distance(unseen, extractor, reference, good):
    chosen = unseen[1] < 5
    found = score(unseen[0][chosen], None, extractor, reference, splits=1)
    lost = reference.class_shares[5:].sum()
    assert good["class_histogram_distance"] < 0.15
    assert found["class_histogram_distance"] == pytest.approx(lost, abs=0.06)


def test_blocks_give_the_spread_of_every_score_and_can_be_computed_again(unseen, extractor, reference):
    found = score(unseen[0][:300], unseen[1][:300], extractor, reference, splits=4, blocks=3)
    assert found["blocks"]["count"] == 3
    for name in ("fid", "kid", "precision", "coverage_k5", "inception_score", "class_accuracy", "memorisation_ratio"):
        values = found["blocks"]["values"][name]
        assert found["spread"][name]["mean"] == pytest.approx(np.mean(values), rel=1e-5)
        assert found["spread"][name]["std"] == pytest.approx(np.std(values, ddof=1), rel=1e-4)
    last = score(unseen[0][200:300], unseen[1][200:300], extractor, reference, splits=1)
    assert last["fid"] == found["blocks"]["values"]["fid"][2]
    assert found["kid"] == pytest.approx(np.mean(found["kid_subsets"]), rel=1e-4)
    with pytest.raises(ValueError, match="blocks = 7 does not divide the 300"):
        score(unseen[0][:300], None, extractor, reference, splits=4, blocks=7)


def test_processes_together_find_what_one_finds(unseen, extractor, reference):
    from threading import Barrier, Thread

    from ddpm.metrics.shards import Shard

    count, seen = 3, Features(extractor(unseen[0][:390]))
    barrier, board, results = Barrier(count), [None] * count, [None] * count

    def work(rank):
        def gather(array):
            board[rank] = array
            barrier.wait()
            gathered = list(board)
            barrier.wait()
            return gathered

        shard = Shard(rank, count, gather)
        results[rank] = score_features(seen, None, extractor, reference, splits=3, blocks=3, shard=shard)

    threads = [Thread(target=work, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = score_features(seen, None, extractor, reference, splits=3, blocks=3)
    assert results == [alone] * count
