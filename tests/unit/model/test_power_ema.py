"""Averages of any length from snapshots, against averages that were tracked step by step."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ddpm.common import files
from ddpm.model import power_ema
from ddpm.model.power_ema import LengthError, Snapshots

LENGTHS = (0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25)


def tracked(weights: Tensor, length: float) -> Tensor:
    """The average at the end by its definition: every step's share of the profile; weights (T, N)."""
    steps = torch.arange(len(weights) + 1, dtype=torch.float64) / len(weights)
    share = (steps ** (power_ema.exponent(length) + 1)).diff()
    return share @ weights.double()


def trajectory(steps: int) -> Tensor:
    """Weights (T, N) of a noisy descent whose steps become smaller, as those of a training do."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(1, steps + 1)[:, None] / steps
    start, end = torch.randn(2, 200, generator=generator)
    noise = (torch.randn(steps, 200, generator=generator) * 0.02 * (1.05 - time)).cumsum(0)
    return end + (start - end) * torch.exp(-8 * time) + noise / math.sqrt(steps) * 4


def kept(folder: Path, weights: Tensor, count: int) -> Snapshots:
    """Snapshots of averages that are updated after every step, as in training."""
    steps = power_ema.snapshot_steps(len(weights), count)
    averages = {length: weights[0].clone() for length in power_ema.LENGTHS}
    for step, current in enumerate(weights, start=1):
        for length, average in averages.items():
            average.lerp_(current, power_ema.new_share(length, step))
        if step in steps:
            tensors = {power_ema.key(length, "net.w"): average.clone() for length, average in averages.items()}
            files.write_tensors(folder / power_ema.file_name(step), tensors)
    power_ema.write_index(folder, steps, "d1")
    return power_ema.read(folder)


@pytest.mark.parametrize("length", [0.01, *LENGTHS, 0.28])
def test_the_exponent_gives_a_profile_of_that_length(length: float) -> None:
    """Standard deviation of the density (g + 1) s^g on [0, 1]."""
    power = power_ema.exponent(length)
    moments = [(power + 1) / (power + 1 + order) for order in (1, 2)]
    assert math.sqrt(moments[1] - moments[0] ** 2) == pytest.approx(length, rel=1e-9)


def test_published_exponents() -> None:
    assert power_ema.exponent(0.05) == pytest.approx(16.97, abs=0.01)
    assert power_ema.exponent(0.1) == pytest.approx(6.94, abs=0.01)


@pytest.mark.parametrize("length", [0.0, -0.1, 0.289, math.nan])
def test_a_length_without_a_profile_is_refused(length: float) -> None:
    with pytest.raises(LengthError, match=r"above 0 and below 0\.2887"):
        power_ema.exponent(length)


@pytest.mark.parametrize("length", power_ema.LENGTHS)
def test_the_update_of_each_step_gives_the_average_of_the_definition(length: float) -> None:
    weights = trajectory(300)
    average = torch.zeros(200)
    for step, current in enumerate(weights, start=1):
        average.lerp_(current, power_ema.new_share(length, step))
    torch.testing.assert_close(average.double(), tracked(weights, length), rtol=1e-5, atol=1e-6)


def test_inner_products_are_integrals() -> None:
    snapshots = Snapshots(Path(), (3, 7, 10))
    points = (np.arange(200_000) + 0.5) / 200_000
    power = power_ema.exponent(0.05)

    def profile(time: float) -> np.ndarray:
        return np.where(points <= time, (power + 1) * points**power / time ** (power + 1), 0)

    found = power_ema._inner(np.float64(0.3), np.float64(power), np.float64(0.7), np.float64(power))
    assert float(found) == pytest.approx((profile(0.3) * profile(0.7)).mean(), rel=1e-3)
    weights, error = power_ema.coefficients(snapshots, 0.05)
    assert error < 1e-6
    np.testing.assert_allclose(weights, [[0, 0], [0, 0], [1, 0]], atol=1e-6)


def test_snapshots_are_denser_towards_the_end_and_include_it() -> None:
    steps = power_ema.snapshot_steps(3200, 12)
    assert len(steps) == 12
    assert steps[-1] == 3200
    gaps = np.diff((0, *steps))
    assert (np.diff(gaps)[1:] <= 1).all()
    assert power_ema.snapshot_steps(3, 12) == (1, 2, 3)


@pytest.mark.parametrize("steps", [400, 3200])
def test_any_length_is_reconstructed_within_a_thousandth(tmp_path: Path, steps: int) -> None:
    weights = trajectory(steps)
    snapshots = kept(tmp_path, weights, 12)
    for length in LENGTHS:
        found, wanted = power_ema.reconstruct(snapshots, length)["net.w"].double(), tracked(weights, length)
        assert (found - wanted).norm() / wanted.norm() < 1e-3, length


def test_a_length_that_the_snapshots_do_not_determine_is_refused_with_the_remedy(tmp_path: Path) -> None:
    snapshots = kept(tmp_path, trajectory(40), 4)
    with pytest.raises(LengthError, match=r"length 0\.01 cannot be reconstructed from 4 snapshots.*train\.snapshots"):
        power_ema.reconstruct(snapshots, 0.01)


def test_a_folder_without_snapshots_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.snapshots above 0"):
        power_ema.read(tmp_path)
