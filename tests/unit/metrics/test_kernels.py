"""Features of series: the numbers of a kernel written out, and the sets that they tell apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ddpm.evaluation import extractor_store
from ddpm.metrics import floors, kernels
from ddpm.metrics.extractors import ExtractorError
from ddpm.metrics.frechet import frechet_distance, moments
from ddpm.metrics.kernels import DIMENSION, KERNELS, LENGTH, KernelExtractor
from ddpm.metrics.real_distances import expected_fid
from ddpm.metrics.scoring import Features


def clustered(count: int, seed: int, length: int = 64, columns: int = 1) -> NDArray[np.float32]:
    """Series with volatility that persists: GARCH(1, 1) with alpha 0.15 and beta 0.8."""
    random = np.random.default_rng(seed)
    values, variance = [], np.ones((count, 1))
    for _ in range(length + 50):
        shock = random.standard_normal((count, columns)) * np.sqrt(variance)
        variance = 0.05 + 0.15 * (shock**2).mean(axis=1, keepdims=True) + 0.8 * variance
        values.append(shock)
    return np.stack(values[50:], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> kernels.Kernels:
    return kernels.fit(clustered(1000, 0), seed=1)


def test_a_feature_is_a_share_and_a_maximum_of_a_convolution(fitted: kernels.Kernels) -> None:
    window = clustered(3, 5)
    responses = kernels._responses(kernels._inputs(torch.from_numpy(window), fitted), fitted).numpy()
    z = (window[1, :, 0] - fitted.centre[0].item()) / fitted.spread[0].item()
    magnitude = (np.abs(z) - fitted.centre[1].item()) / fitted.spread[1].item()
    dilation, number = 4, 7
    weights = fitted.weights[dilation][number].numpy()
    padded = np.pad(np.stack([z, magnitude]), ((0, 0), (16, 16)))
    out = [sum((weights[:, k] * padded[:, at + k * dilation]).sum() for k in range(LENGTH)) for at in range(64)]
    place = sum(len(each) for other, each in fitted.weights.items() if other < dilation) + number
    threshold = fitted.thresholds[dilation][number].item()
    assert responses[1, place] == pytest.approx(np.mean(np.array(out) > threshold), abs=1e-6)
    assert responses[1, KERNELS + place] == pytest.approx(np.arcsinh(max(out)), rel=1e-4)


def test_the_projection_keeps_the_principal_variances(fitted: kernels.Kernels) -> None:
    features = KernelExtractor(fitted, "k")(clustered(1000, 0))
    covariance = np.cov(features.astype(np.float64), rowvar=False)
    variances = np.diag(covariance)
    assert features.shape == (1000, DIMENSION)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(covariance - np.diag(variances), 0, atol=1e-3 * variances[0])
    assert (np.diff(variances) < 1e-6).all()
    assert 0.8 * DIMENSION < variances.sum() <= DIMENSION * 1.01


def test_sets_that_differ_in_order_alone_are_told_apart(fitted: kernels.Kernels) -> None:
    extractor, real = KernelExtractor(fitted, "k"), clustered(1000, 0)
    random = np.random.default_rng(0)
    sets = {
        "real": clustered(1000, 1),
        "shuffled": floors.shuffled(1000, real, random),
        "gaussian": floors.independent(1000, real, random),
        "copy": real,
    }
    reference = moments(extractor(real))
    found = {name: frechet_distance(moments(extractor(each)), reference) for name, each in sets.items()}
    assert found["copy"] < 1e-6
    assert found["real"] < found["shuffled"] / 3
    assert found["real"] < found["gaussian"] / 3


def test_columns_that_move_together_are_told_from_independent_ones() -> None:
    apart = clustered(800, 0, columns=2)
    together = apart.copy()
    together[:, :, 1] = 0.95 * together[:, :, 0] + 0.31 * together[:, :, 1]
    extractor = KernelExtractor(kernels.fit(together, 0), "k")
    other = clustered(800, 1, columns=2)
    alike = other.copy()
    alike[:, :, 1] = 0.95 * alike[:, :, 0] + 0.31 * alike[:, :, 1]
    reference = moments(extractor(together))
    assert frechet_distance(moments(extractor(alike)), reference) < (
        frechet_distance(moments(extractor(other)), reference) / 2
    )


def test_equal_seeds_give_equal_features_whatever_the_batch(fitted: kernels.Kernels, tmp_path: Path) -> None:
    again = kernels.fit(clustered(1000, 0), seed=1)
    made = extractor_store.write_kernels(tmp_path, again)
    opened = extractor_store.from_folder(tmp_path, "cpu")
    windows = clustered(300, 2)
    expected = KernelExtractor(fitted, "k")(windows)
    np.testing.assert_array_equal(made(windows), expected)
    np.testing.assert_array_equal(opened(windows)[10:20], opened(windows[10:20]))
    assert (opened.name, opened.sha256) == ("kernels", made.sha256)
    other = kernels.fit(clustered(1000, 0), seed=2)
    assert not np.allclose(KernelExtractor(other, "k")(windows), expected)
    (tmp_path / "extractor.safetensors").write_bytes(b"")
    with pytest.raises(Exception, match=r"extractor\.safetensors"):
        extractor_store.from_folder(tmp_path, "cpu")


def test_short_windows_have_one_dilation() -> None:
    assert list(kernels.fit(clustered(300, 0, length=8), 0).weights) == [1]


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (clustered(128, 0), "128 training windows do not have"),
        (np.tile(clustered(1, 0), (300, 1, 1)), "too much alike"),
    ],
)
def test_windows_that_cannot_be_fitted(windows: NDArray[np.float32], message: str) -> None:
    with pytest.raises(ExtractorError, match=message):
        kernels.fit(windows, 0)


def test_other_columns_are_refused(fitted: kernels.Kernels) -> None:
    with pytest.raises(ValueError, match="series of 1 columns, not"):
        KernelExtractor(fitted, "k")(clustered(3, 0, columns=2))


def test_noise_of_series_has_their_moments() -> None:
    windows = clustered(2000, 0, columns=2) * [1.0, 3.0] + [0.5, -1.0]
    random = np.random.default_rng(0)
    gaussian = floors.independent(2000, windows, random)
    np.testing.assert_allclose(gaussian.mean(axis=(0, 1)), windows.mean(axis=(0, 1)), atol=0.03)
    np.testing.assert_allclose(gaussian.std(axis=(0, 1)), windows.std(axis=(0, 1)), rtol=0.02)
    mixed = floors.shuffled(500, windows, random)
    rows = {tuple(row) for row in windows.reshape(-1, 2).tolist()}
    assert all(tuple(row) in rows for row in mixed.reshape(-1, 2)[:1000].tolist())


def test_halves_are_alternating_blocks_of_time() -> None:
    order = floors.alternating(160)
    assert sorted(order.tolist()) == list(range(160))
    assert order[:10].tolist() == list(range(10))
    assert order[10:20].tolist() == list(range(20, 30))
    assert order[80:90].tolist() == list(range(10, 20))


def test_halves_of_different_times_do_not_count_as_chance() -> None:
    """Blocks of time differ in level; the bias of finite sets is that of halves drawn at random."""
    level = np.repeat(np.arange(16) % 2, 50)[:, None]
    train = Features((np.random.default_rng(0).standard_normal((800, 4)) + 3 * level).astype(np.float32))
    found = floors.floors(train, train, {}, seed=0, order=floors.alternating(800)).scores["fid"]
    plain = floors.floors(train, train, {}, seed=0).scores["fid"]
    assert found["halves"] > 20
    assert found["resampled"] == plain["halves"] < 0.5
    counts = {"halves": 400, "heldout": 800}
    conditions = {"reference_count": 800, "count": 400, "feature_dimension": 4}
    assert expected_fid(found, counts, conditions) == pytest.approx(expected_fid(plain, counts, conditions))
