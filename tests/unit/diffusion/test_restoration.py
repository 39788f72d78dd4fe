"""Operators, consistency with what was observed, and the way back up, each against what is known exactly."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ddpm.diffusion import restoration, schedule
from ddpm.diffusion.samplers import table as samplers

SPREAD, MEAN = 0.4, 0.2
KNOWN = torch.ones(1, 1, 4, 4, dtype=torch.float64)
KNOWN[..., 1:3, 2:] = 0
OPERATORS = {
    "identity": restoration.identity(),
    "masked": restoration.masked(KNOWN),
    "pooled-2": restoration.pooled(2),
    "pooled-4": restoration.pooled(4),
    "grey": restoration.grey(),
}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def exact(y: Tensor, sigma: float) -> Tensor:
    """E[x0 | y] for pixels N(MEAN, SPREAD^2)."""
    return (SPREAD**2 * y + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)


def matrix(operator: restoration.Operator) -> Tensor:
    """A as a matrix: its answer to each pixel of a (3, 4, 4) picture."""
    return operator.forward(torch.eye(48, dtype=torch.float64).view(48, 3, 4, 4)).reshape(48, -1).T


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_the_inverse_is_the_pseudo_inverse(operator: restoration.Operator) -> None:
    """A A^+ A = A, A^+ A A^+ = A^+, A^+ A symmetric, and A A^T = energy * I where A sees anything."""
    x = random(2, 3, 4, 4)
    seen = operator.forward(x)
    torch.testing.assert_close(operator.forward(operator.inverse(seen)), seen)
    torch.testing.assert_close(operator.inverse(operator.forward(operator.inverse(seen))), operator.inverse(seen))
    dense = matrix(operator)
    basis = torch.eye(len(dense), dtype=torch.float64).view(-1, *seen.shape[1:])
    torch.testing.assert_close(operator.inverse(basis).reshape(len(dense), -1).T, torch.linalg.pinv(dense))
    torch.testing.assert_close(dense @ dense.T @ dense, operator.energy * dense)


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_without_noise_the_estimate_agrees_with_what_was_observed(operator: restoration.Operator) -> None:
    observed = operator.forward(random(2, 3, 4, 4))
    y = random(2, 3, 4, 4, seed=1)
    estimate = restoration.consistent(exact, operator, observed)(y, 0.7)
    torch.testing.assert_close(operator.forward(estimate), observed)
    unseen = random(2, 3, 4, 4, seed=2)
    unseen = unseen - operator.inverse(operator.forward(unseen))  # what A does not see stays the model's
    torch.testing.assert_close((unseen * estimate).sum(), (unseen * exact(y, 0.7)).sum())


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
@pytest.mark.parametrize("sigma", [0.05, 0.7, 30.0])
def test_with_noise_the_estimate_is_the_posterior_mean_of_a_gaussian(
    operator: restoration.Operator, sigma: float
) -> None:
    """E[x | y, observed] by solving the normal equations of both observations at once."""
    noise, a = 0.3, matrix(operator)
    y, observed = random(1, 3, 4, 4), operator.forward(random(1, 3, 4, 4, seed=1))
    precision = (SPREAD**-2 + sigma**-2) * torch.eye(48, dtype=torch.float64) + a.T @ a / noise**2
    known = MEAN / SPREAD**2 + y.reshape(48) / sigma**2 + a.T @ observed.reshape(-1) / noise**2
    expected = torch.linalg.solve(precision, known).view(1, 3, 4, 4)
    estimate = restoration.consistent(exact, operator, observed, noise, SPREAD)(y, sigma)
    torch.testing.assert_close(estimate, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("noise", [0.01, 0.3, 5.0])
def test_no_more_noise_is_let_through_than_half_the_level(noise: float) -> None:
    zero, noisy = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), noise)
    for sigma in (0.001, 0.1, 1.0, 80.0):
        moved = restoration.consistent(lambda y, sigma: zero, restoration.identity(), noisy, noise)(zero, sigma)
        assert moved.max().item() <= sigma / 2


def test_sampling_with_noisy_observations_draws_from_the_posterior() -> None:
    """Pixels N(MEAN, SPREAD^2) seen with noise: mean and deviation of the posterior are known."""
    noise, seen = 0.3, 0.9
    gain = SPREAD**2 / (SPREAD**2 + noise**2)
    table = schedule.sigmas(schedule.betas("cosine", 200))
    levels = torch.cat([table.flip(0), torch.zeros(1, dtype=torch.float64)])
    generator = torch.Generator().manual_seed(0)

    def fresh(step: int) -> Tensor:
        return torch.randn(1, 1, 100, 100, dtype=torch.float64, generator=generator)

    observed = torch.full((1, 1, 100, 100), seen, dtype=torch.float64)
    denoise = restoration.consistent(exact, restoration.identity(), observed, noise, SPREAD)
    drawn = samplers.ddpm(denoise, levels[0] * fresh(-1), levels, fresh)
    assert drawn.mean().item() == pytest.approx(MEAN + gain * (seen - MEAN), abs=0.01)
    assert drawn.std().item() == pytest.approx(math.sqrt(gain) * noise, rel=0.05)


def test_a_returning_sampler_takes_each_stretch_several_times() -> None:
    levels = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    seen: list[float] = []

    def denoise(y: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return torch.zeros_like(y)

    calls: list[int] = []

    def noise(step: int) -> Tensor:
        calls.append(step)
        return torch.zeros(1)

    restoration.returning(samplers.ddpm, 2, 3)(denoise, torch.ones(1), levels, noise)
    assert seen == [8, 4] * 3 + [2, 1] * 3
    assert calls == list(range(len(calls)))  # no draw is used twice
    assert len(calls) == 6 + 3 + 4  # ancestral steps down to a level above 0, and the ways up


def test_a_returning_sampler_of_one_round_is_the_sampler() -> None:
    table = schedule.sigmas(schedule.betas("cosine", 100))
    levels = schedule.sampling_sigmas("log-snr", table, 12)
    noises, y = random(12, 5), levels[0] * random(5, seed=1)
    plain = samplers.ddpm(exact, y, levels, lambda i: noises[i])
    for jump in (1, 5, 12):
        again = restoration.returning(samplers.ddpm, jump, 1)(exact, y, levels, lambda i: noises[i])
        torch.testing.assert_close(again, plain)


def test_going_back_up_adds_the_noise_between_the_levels() -> None:
    """With x0 known to be 0, y keeps the deviation of its level on every way up and down."""
    levels = torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)

    def noise(step: int) -> Tensor:
        return torch.randn(40_000, dtype=torch.float64, generator=generator)

    deviations: list[tuple[float, float]] = []

    def denoise(y: Tensor, sigma: float) -> Tensor:
        deviations.append((y.std().item(), sigma))
        return torch.zeros_like(y)

    restoration.returning(samplers.ddpm, 2, 4)(denoise, 8 * noise(-1), levels, noise)
    assert len(deviations) == 12
    for measured, sigma in deviations:
        assert measured == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("steps", [1, 2, 9, 500])
def test_levels_from_an_observation_descend_to_zero(steps: int) -> None:
    table = schedule.sigmas(schedule.betas("cosine", 100))
    levels = restoration.levels_from(0.5, table, "log-snr", steps).tolist()
    assert levels[0] == 0.5
    assert levels[-1] == 0
    assert all(high > low for high, low in pairwise(levels))
    assert len(levels) == 1 + min(steps, 1 + int((table < 0.5).sum()))
    assert restoration.levels_from(table[0].item() / 2, table, "log-snr", steps).tolist() == [table[0].item() / 2, 0]


def picture(side: int = 96) -> Tensor:
    """White disc and a ramp on black, with most pixels at the limits: (1, side, side)."""
    row = torch.linspace(-1, 1, side)
    disc = (row[:, None] ** 2 + row**2 < 0.3).float() * 2 - 1
    disc[:10] = row
    return disc[None]


@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut-off"])
def test_noise_is_estimated_within_a_tenth(sigma: float, cut: bool) -> None:
    noise = torch.randn(2, 1, 96, 96, generator=torch.Generator().manual_seed(1))
    observed = picture() * (1.0 if cut else 0.5) + sigma * noise[0]
    observed = observed.clamp(-1, 1) if cut else observed
    assert restoration.estimated_noise(observed, noise[1]) == pytest.approx(sigma, rel=0.1)


def test_a_clean_picture_has_no_noise_and_a_hole_does_not_count() -> None:
    noise = torch.randn(2, 1, 97, 96, generator=torch.Generator().manual_seed(1))
    assert restoration.estimated_noise(picture(), noise[0, :, :96]) == 0
    known = torch.ones(97, 96, dtype=torch.bool)
    known[20:80] = False
    observed = torch.where(known, 0.1 * noise[0], 3 * noise[1])
    assert restoration.estimated_noise(observed, noise[1], known) == pytest.approx(0.1, rel=0.1)
    with pytest.raises(ValueError, match="give it as a number"):
        restoration.estimated_noise(observed, noise[1], torch.zeros(97, 96, dtype=torch.bool))


def test_what_was_cut_off_is_given_back_as_it_was_distributed() -> None:
    noise = torch.randn(2, 1, 200, 200, generator=torch.Generator().manual_seed(2))
    whole = -1 + 0.3 * noise[0]
    back = restoration.unclipped(whole.clamp(-1, 1), 0.3, noise[1])
    assert back.mean().item() == pytest.approx(-1, abs=0.01)
    assert back.std().item() == pytest.approx(0.3, rel=0.02)
    inside = 0.5 * picture()
    torch.testing.assert_close(restoration.unclipped(inside, 0.3, noise[0, :, :96, :96]), inside)
