"""Our Inception is torch-fidelity's own: features, logits and the scores that are taken of them."""

import warnings

import numpy as np
import pytest
import torch
import torch_fidelity
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import NoTrainInceptionV3

from ddpm.evaluation import reference
from ddpm.metrics import frechet, inception_score, kid, precision_recall, scoring
from ddpm.metrics.resize import to_side

HALF = 24


@pytest.fixture(scope="module")
def theirs(images, weights_file):
    """Spatial features, features and unbiased logits of torch-fidelity's own forward pass."""
    network = FeatureExtractorInceptionV3(
        "theirs", ["2048", "logits_unbiased"], feature_extractor_weights_path=weights_file
    )
    seen = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda module, given, found: seen.append(found[:, :7].clone()))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    with torch.inference_mode():
        passed = [network(chunk) for chunk in pixels.split(4)]
    features, logits = (torch.cat(parts).numpy() for parts in zip(*passed, strict=True))
    return torch.cat(seen), features, logits


@pytest.fixture(scope="module")
def features(images, legacy):
    return legacy(images)


def test_features_and_logits_are_torch_fidelitys(features, legacy, theirs):
    _, expected, logits = theirs
    assert expected.std(axis=0).mean() > 0.05  # images differ to the random network
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(legacy.logits(features), logits, rtol=1e-3, atol=1e-3)


def test_spatial_features_are_seven_channels_of_the_one_by_one_branch_of_mixed_6d(images, legacy, theirs):
    found = legacy.spatial(images[:4])
    assert found.shape == (4, 2023) == (4, legacy.spatial_dimension)
    # Channels last, as the ADM evaluator lays them out.
    expected = theirs[0][:4].permute(0, 2, 3, 1).reshape(4, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_the_distance_is_torch_fidelitys(features, theirs):
    ours = frechet.frechet_distance(frechet.moments(features[:HALF]), frechet.moments(features[HALF:]))
    statistics = [fid_features_to_statistics(torch.from_numpy(part)) for part in np.split(theirs[1], 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert ours == pytest.approx(expected, rel=1e-3)


def test_the_inception_score_is_torch_fidelitys(features, legacy, theirs):
    expected = isc_features_to_metric(torch.from_numpy(theirs[2]), splits=1)["inception_score_mean"]
    assert expected > 1.2
    assert inception_score.inception_score(features, legacy.logits, splits=1)[0] == pytest.approx(expected, rel=1e-3)


def clouds():
    """Features (N, D) of two overlapping sets, of which neither covers the other."""
    random = np.random.default_rng(3)
    return random.normal(size=(90, 16)).astype(np.float32), random.normal(0.3, 1.1, (90, 16)).astype(np.float32)


def test_the_kernel_distance_is_torch_fidelitys():
    fake, real = clouds()
    told = kid_features_to_metric(
        torch.from_numpy(fake), torch.from_numpy(real), kid_subsets=1, kid_subset_size=len(fake), verbose=False
    )
    expected = told["kernel_inception_distance_mean"]
    assert abs(expected) > 0.01
    assert kid.squared_mmd(fake, real) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("k", "end"), [(3, ""), (5, "_k5")])
def test_precision_and_recall_are_torch_fidelitys(k, end):
    fake, real = clouds()
    told = prc_features_to_metric(
        torch.from_numpy(fake), torch.from_numpy(real), prc_neighborhood=k, prc_batch_size=1000, save_cpu_ram=False,
        verbose=False,
    )  # fmt: skip
    found = precision_recall.manifold_scores(precision_recall.manifold(fake), precision_recall.manifold(real))
    assert 0.1 < told["recall"] < told["precision"] < 1  # wide and narrow: the two are not taken for each other
    assert found[f"precision{end}"] == pytest.approx(told["precision"], rel=1e-3)
    assert found[f"recall{end}"] == pytest.approx(told["recall"], rel=1e-3)


def test_spatial_features_reach_their_score(images, legacy, tmp_path):
    first, second = (
        reference.observe(legacy, images, indices, tmp_path / f"{name}.npy")
        for name, indices in (("first", np.arange(24)), ("second", np.arange(24, 48)))
    )
    np.testing.assert_allclose(first.spatial[:2], legacy.spatial(images[:2]), rtol=1e-4, atol=1e-6)
    found, _ = scoring.distances(first, scoring.statistics(second))
    expected = frechet.frechet_distance(frechet.moments(first.spatial), frechet.moments(second.spatial))
    assert expected > 0
    assert found["sfid"] == pytest.approx(expected, rel=1e-6)


def test_torch_fidelity_as_a_whole_agrees_from_images_to_score(images, legacy, weights_file):
    """Its own reading of a data set, batches and arithmetic, on fewer images."""
    pixels = torch.from_numpy(images[:12]).permute(0, 3, 1, 2).contiguous()
    told = torch_fidelity.calculate_metrics(
        input1=Tensors(pixels), isc=True, isc_splits=1, cuda=False,
        batch_size=4, verbose=False, cache=False, feature_extractor_weights_path=weights_file,
    )  # fmt: skip
    found = inception_score.inception_score(legacy(images[:12]), legacy.logits, splits=1)[0]
    assert found == pytest.approx(told["inception_score_mean"], rel=1e-3)


class Tensors(torch.utils.data.Dataset):
    """Images of a tensor, as torch-fidelity asks for them."""

    def __init__(self, pixels):
        self.pixels = pixels

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return self.pixels[index]


def test_torchmetrics_network_without_antialiasing_gives_the_same_features(images, features, weights_file):
    network = NoTrainInceptionV3("x", ["2048"], feature_extractor_weights_path=weights_file, antialias=False)
    with torch.inference_mode():
        found = network(torch.from_numpy(images[:4]).permute(0, 3, 1, 2).contiguous())
    np.testing.assert_allclose(features[:4], found, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (64, 48), (400, 300), (299, 299), (1, 2)])
def test_the_legacy_policy_is_torch_fidelitys_resize(height, width):
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, height, width), np.uint8))
    expected = interpolate_bilinear_2d_like_tensorflow1x(pixels.float(), size=(299, 299), align_corners=False)
    assert torch.equal(to_side(pixels, 299, "legacy"), expected)
