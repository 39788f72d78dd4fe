"""Likelihoods against Gaussians, whose denoiser and density are known exactly."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from ddpm.diffusion import likelihood, schedule, variational

MEAN, SPREAD = 0.1, 0.25
LOW = 0.01
WIDTH = 1 / 127.5  # of one level


def exact(y: Tensor, sigma: float) -> Tensor:
    return (SPREAD**2 * y + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)


def on_levels(count: int, *shape: int) -> Tensor:
    """Draws of the Gaussian, rounded to uint8 levels."""
    generator = torch.Generator().manual_seed(0)
    values = MEAN + SPREAD * torch.randn(count, *shape, dtype=torch.float64, generator=generator)
    return ((values + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def true_bits(x: Tensor) -> Tensor:
    """Bits per dimension of the levels: the mass of the Gaussian on each."""
    law = Normal(torch.tensor(MEAN, dtype=torch.float64), SPREAD)
    return -(law.cdf(x + WIDTH / 2) - law.cdf(x - WIDTH / 2)).log2().flatten(1).mean(1)


def correlated(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and covariance (d, d) of images whose values hang together."""
    size = math.prod(shape)
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(size, size, dtype=torch.float64, generator=generator) * 0.1
    return torch.linspace(-0.3, 0.3, size, dtype=torch.float64), root @ root.T + 0.01 * torch.eye(size)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_flow_agrees_with_the_mass_of_the_levels(name: str) -> None:
    """A whole data set within 0.01 bits/dim; what is left is the first level (0.01) and the spread over the levels."""
    sigmas = schedule.sigmas(schedule.betas(name, 1000))
    x = on_levels(500, 1, 2, 2)
    generator = torch.Generator().manual_seed(2)
    y = likelihood.dequantised(x, torch.rand(x.shape, dtype=torch.float64, generator=generator))
    prior = math.hypot(1, sigmas[-1].item())
    flow = partial(likelihood.flow_bits, exact, y, sigmas[0].item(), sigmas[-1].item(), prior)
    for probes in (likelihood.directions((1, 2, 2)), likelihood.signs((1, *y.shape), generator)):
        assert (flow(probes).mean() - true_bits(x).mean()).abs() < 0.01


def test_the_flow_gives_the_density_of_each_image_with_the_trace_exact_or_estimated() -> None:
    shape = (1, 3, 3)
    mean, covariance = correlated(shape)
    eye = torch.eye(9, dtype=torch.float64)

    def denoise(y: Tensor, sigma: float) -> Tensor:
        gain = covariance @ torch.linalg.inv(covariance + sigma**2 * eye)
        return (mean + (y.flatten(1) - mean) @ gain.T).view(y.shape)

    law = MultivariateNormal(mean, covariance + LOW**2 * eye)
    torch.manual_seed(0)
    y = law.sample((4000,)).view(-1, *shape)
    truth = -law.log_prob(y.flatten(1)) / 9 / math.log(2) - math.log2(WIDTH)
    flow = partial(likelihood.flow_bits, denoise, low=LOW, high=1e5, prior=1e5)  # so high that the prior is exact, too
    torch.testing.assert_close(
        flow(y[:50], probes=likelihood.directions(shape), tolerance=1e-7), truth[:50], rtol=0, atol=1e-4
    )
    signs = likelihood.signs((2, *y.shape), torch.Generator().manual_seed(0))
    error = flow(y, probes=signs, tolerance=1e-5) - truth
    assert error.abs().mean() > 0.1  # of one image it says little
    assert error.mean().abs() < 0.01


def exact_fraction(sigmas: Tensor, sigma: float) -> float:
    """Return the position of the exact variance of q(y_lower | y) between the logarithms of small and large."""
    i = int((sigmas == sigma).nonzero()[0, 0])
    lower = sigmas[i - 1].item() if i else 0.0
    level = torch.tensor([[sigma], [lower]], dtype=torch.float64)
    small, large = variational.log_variances(level[0], level[1], variational.smallest_variance(sigmas))
    below = 0.0 if lower == 0 else small.exp().item()
    true = below + (1 - (lower / sigma) ** 2) ** 2 * uncertain(sigma)
    return (math.log(true) - small.item()) / (large - small).item()


def uncertain(sigma: float) -> float:
    """Var[x0 | y]."""
    return SPREAD**2 * sigma**2 / (SPREAD**2 + sigma**2)


def bound_of(sigmas: Tensor, denoise: likelihood.WithFraction, x: Tensor) -> likelihood.Bound:
    generator = torch.Generator().manual_seed(3)
    levels: list[int] = []

    def noise(step: int) -> Tensor:
        levels.append(step)
        return torch.randn(x.shape, dtype=torch.float64, generator=generator)

    done: list[None] = []
    found = likelihood.bound(denoise, x, sigmas, math.hypot(1, sigmas[-1].item()), noise, lambda: done.append(None))
    assert levels == list(reversed(range(len(sigmas))))
    assert len(done) == len(sigmas)
    return found


@pytest.mark.parametrize("total", [10, 100])
def test_the_bound_is_tight_with_the_exact_variance(total: int) -> None:
    """For a Gaussian, every step of the exact reverse chain is Gaussian, so any number of steps is exact."""
    sigmas = schedule.sigmas(schedule.betas("linear", total))
    x = on_levels(30_000, 1, 2, 2)
    found = bound_of(sigmas, lambda y, sigma: (exact(y, sigma), torch.full_like(y, exact_fraction(sigmas, sigma))), x)
    assert (found.total.mean() - true_bits(x).mean()).abs() < 0.01


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_the_bound_of_a_fixed_variance_misses_by_what_it_must(fraction: float) -> None:
    """A step that has the variance w where v is true loses KL(N(0, v) || N(0, w)) on average, in closed form."""
    sigmas = schedule.sigmas(schedule.betas("linear", 200))
    x = on_levels(30_000, 1, 2, 2)
    gap = 0.0
    for i, sigma in enumerate(sigmas.tolist()):
        lower = sigmas[i - 1].item() if i else 0.0
        level = torch.tensor([sigma, lower], dtype=torch.float64)
        small, large = (
            each.item() for each in variational.log_variances(*level, smallest=variational.smallest_variance(sigmas))
        )
        excess = (exact_fraction(sigmas, sigma) - fraction) * (large - small)  # log(v / w)
        gap += 0.5 * (math.expm1(excess) - excess) / math.log(2)
    found = bound_of(sigmas, likelihood.fixed(exact, fraction), x)
    assert gap > (0.3 if fraction == 0 else 0.001)
    assert found.total.mean() - true_bits(x).mean() == pytest.approx(gap, abs=0.012)


def test_a_step_with_the_small_variance_is_a_difference_of_signal_to_noise() -> None:
    """Kingma et al. 2021, section 4."""
    sigmas = torch.tensor([0.1, 0.7, 2.0], dtype=torch.float64)
    x = on_levels(5, 1, 2, 2)
    estimate = x + 0.03
    found = bound_of(sigmas, lambda y, sigma: (estimate, torch.zeros_like(y)), x)
    snr = sigmas**-2
    expected = (snr[:-1] - snr[1:]).flip(0) * 0.03**2 / 2 / math.log(2)
    torch.testing.assert_close(found.steps, expected[:, None].expand(2, 5), rtol=1e-9, atol=0)
    start, prior = Normal(x, 2.0), Normal(torch.zeros(1, dtype=torch.float64), math.hypot(1, 2))
    expected = kl_divergence(start, prior).flatten(1).mean(1) / math.log(2)
    torch.testing.assert_close(found.prior, expected)
    torch.testing.assert_close(found.total, found.prior + found.steps.sum(0) + found.decoder)


def test_dequantised_images_fill_their_levels() -> None:
    x = torch.tensor([-1.0, 1.0])
    edges = [likelihood.dequantised(x, torch.full((2,), share)) for share in (0.0, 1.0)]
    torch.testing.assert_close(edges[1] - edges[0], torch.full((2,), WIDTH))
    torch.testing.assert_close((edges[1] + edges[0]) / 2, x)
