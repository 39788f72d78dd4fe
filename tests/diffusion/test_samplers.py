"""Samplers against a Gaussian whose denoiser is known exactly, and step by step against diffusers."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from ddpm.diffusion import guidance, samplers, schedule

MEAN, SPREAD = 0.3, 0.4
Draw = Callable[..., Tensor]


def exact(y: Tensor, sigma: float, mean: float = MEAN, spread: float = SPREAD) -> Tensor:
    """E[x0 | y] for x0 ~ N(mean, spread^2): linear in y."""
    return (spread**2 * y + sigma**2 * mean) / (spread**2 + sigma**2)


def levels(name: str, total: int, count: int, spacing: str = "log-snr") -> Tensor:
    table = schedule.sigmas(schedule.betas(name, total))
    return torch.cat([table[schedule.visited(spacing, table, count)], torch.zeros(1, dtype=torch.float64)])


def no_noise(step: int) -> Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


def flow(y: Tensor, sigma: float) -> Tensor:
    """Where the probability flow brings y of level sigma: the exact solution of the ODE."""
    return MEAN + SPREAD * (y - MEAN) / math.sqrt(SPREAD**2 + sigma**2)


def error(draw: Draw, count: int) -> float:
    """Error of the solver alone: over geometric levels down to a small sigma, without the last jump to 0."""
    sigmas = torch.logspace(math.log10(20), math.log10(0.02), count + 1, dtype=torch.float64)
    y = torch.linspace(-40, 40, 9, dtype=torch.float64)
    end = MEAN + (y - MEAN) * math.sqrt((SPREAD**2 + 0.02**2) / (SPREAD**2 + 20**2))
    return (draw(exact, y, sigmas, no_noise) - end).abs().max().item()


@pytest.mark.parametrize(("draw", "order"), [(samplers.ddim, 1), (samplers.dpm_solver_pp, 2)])
def test_order_of_convergence_on_a_gaussian(draw: Draw, order: int) -> None:
    measured = math.log2(error(draw, 160) / error(draw, 320))
    assert measured == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("total", [1000, 2000, 5000])
def test_dpm_solver_reaches_the_exact_image_in_20_steps(total: int) -> None:
    sigmas = levels("cosine", total, 20)
    y = sigmas[0] * torch.linspace(-2, 2, 9, dtype=torch.float64)
    expected = flow(y, sigmas[0].item())
    assert (samplers.dpm_solver_pp(exact, y, sigmas, no_noise) - expected).abs().max() < 0.03


def spread_after(draw: Draw, sigmas: Tensor, spread: float) -> float:
    """Standard deviation of the images a sampler draws, exactly: it is linear in all noises it is given."""
    count = len(sigmas) - 1
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    denoise = partial(exact, mean=0.0, spread=spread)
    start = draw(denoise, (1 + sigmas[0] ** 2).sqrt() * one, sigmas, lambda i: zero)
    responses = [draw(denoise, zero, sigmas, lambda i, j=j: one if i == j else zero) for j in range(count)]
    return math.sqrt(sum(r.item() ** 2 for r in [start, *responses]))


@pytest.mark.parametrize("name", list(schedule.SCHEDULES))
def test_large_variance_is_exact_for_data_of_unit_variance(name: str) -> None:
    """Ho et al. 2020, section 3.2: `beta_t` is optimal for x0 ~ N(0, I)."""
    draw = partial(samplers.ddpm, variance="large")
    sigmas = levels(name, 200, 200)
    last = sigmas[-2].item()
    assert spread_after(draw, sigmas, 1.0) == pytest.approx(1 / math.sqrt(1 + last**2), rel=1e-9)


@pytest.mark.parametrize("total", [1000, 2000, 5000])
def test_ancestral_sampling_over_the_whole_chain_gives_the_right_spread(total: int) -> None:
    """Small variance on data of known spread; the variances are propagated in closed form along the chain."""
    sigmas = levels("cosine", total, total).tolist()
    variance, mean = 1 + sigmas[0] ** 2, 0.0
    for sigma, lower in pairwise(sigmas):
        y = torch.tensor([0.0, 1.0], dtype=torch.float64)
        moved = samplers.ddpm(exact, y, torch.tensor([sigma, lower], dtype=torch.float64), lambda i: torch.zeros(2))
        offset, slope = moved[0].item(), (moved[1] - moved[0]).item()
        variance = slope**2 * variance + samplers.small_variance(sigma, lower) ** 2
        mean = offset + slope * mean
    assert math.sqrt(variance) == pytest.approx(SPREAD, rel=6 / total**0.5 / 10)
    assert mean == pytest.approx(MEAN, rel=0.01)


def test_ddim_with_eta_1_is_ancestral_sampling_with_the_small_variance() -> None:
    sigmas = levels("linear", 1000, 50)
    noises = torch.randn(50, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = sigmas[0] * torch.linspace(-2, 2, 7, dtype=torch.float64)
    a = samplers.ddpm(exact, y, sigmas, lambda i: noises[i])
    b = samplers.ddim(exact, y, sigmas, lambda i: noises[i], eta=1.0)
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def fake_eps(x: Tensor, step: int) -> Tensor:
    """A nonlinear stand-in for a network that predicts eps from x_t."""
    return torch.tanh(x * 0.7 + step / 700) * 0.9


def in_sigma(table: Tensor, y: Tensor, sigma: float) -> Tensor:
    """The same network as a denoiser."""
    step = int((table - sigma).abs().argmin())
    return y - sigma * fake_eps(y / math.sqrt(1 + sigma**2), step)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            partial(samplers.ddpm, variance="small"),
            lambda: DDPMScheduler(variance_type="fixed_small", clip_sample=False),
        ),
        (
            partial(samplers.ddpm, variance="large"),
            lambda: DDPMScheduler(variance_type="fixed_large", clip_sample=False),
        ),
        (samplers.ddim, lambda: DDIMScheduler(set_alpha_to_one=True, clip_sample=False)),
        (partial(samplers.ddim, eta=0.6), lambda: DDIMScheduler(set_alpha_to_one=True, clip_sample=False)),
        (
            samplers.dpm_solver_pp,
            lambda: DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", final_sigmas_type="zero"),
        ),
    ],
    ids=["ddpm-small", "ddpm-large", "ddim", "ddim-eta", "dpm-solver++"],
)
@pytest.mark.parametrize("count", [10, 100])
def test_every_step_equals_diffusers(ours: Draw, theirs: Callable[[], DDPMScheduler], count: int) -> None:
    reference = theirs()
    _in_float64(reference)
    reference.set_timesteps(count)
    table = schedule.sigmas(reference.betas)
    steps = reference.timesteps.tolist()
    sigmas = torch.cat([table[steps], torch.zeros(1, dtype=torch.float64)])
    if isinstance(reference, DPMSolverMultistepScheduler):
        reference.sigmas = sigmas  # computed in float32 there
    x = torch.randn(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    expected, generator = [x], torch.Generator().manual_seed(4)
    options = {"eta": 0.6} if isinstance(ours, partial) and "eta" in ours.keywords else {}
    for step in steps:
        output = reference.step(
            fake_eps(expected[-1], step), step, expected[-1], generator=generator, **options
        ).prev_sample
        expected.append(output.double())

    seen: list[Tensor] = []
    generator = torch.Generator().manual_seed(4)
    final = ours(
        partial(in_sigma, table),
        (1 + sigmas[0] ** 2).sqrt() * x,
        sigmas,
        lambda i: torch.randn(5, 1, dtype=torch.float64, generator=generator),
        watch=lambda i, y, x0: seen.append(y / (1 + sigmas[i] ** 2).sqrt()),
    )
    for mine, other in zip([*seen, final], expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)


def _in_float64(reference: DDPMScheduler) -> None:
    """diffusers keeps its tables in float32; the comparison is of formulas, so give it ours in float64."""
    reference.betas = schedule.betas("linear", 1000)
    reference.alphas = 1 - reference.betas
    reference.alphas_cumprod = reference.alphas.cumprod(0)
    reference.one = torch.tensor(1.0, dtype=torch.float64)
    reference.final_alpha_cumprod = reference.one
    reference.alpha_t = reference.alphas_cumprod.sqrt()
    reference.sigma_t = (1 - reference.alphas_cumprod).sqrt()
    reference.lambda_t = reference.alpha_t.log() - reference.sigma_t.log()


def test_guidance_moves_the_mean_of_a_gaussian_as_it_should() -> None:
    """Two classes as Gaussians around -0.5 and 0.5; label 2 stands for none (their mean here)."""
    means = torch.tensor([-0.5, 0.5, 0.0], dtype=torch.float64)

    def model(y: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        return (SPREAD**2 * y + sigma[0] ** 2 * means[labels].view(-1, 1)) / (SPREAD**2 + sigma[0] ** 2)

    labels = torch.tensor([0, 1])
    y = torch.zeros(2, 1, dtype=torch.float64)
    at = {scale: guidance.classifier_free(model, labels, 2, scale)(y, 2.0) for scale in (0.0, 1.0, 3.0)}
    torch.testing.assert_close(at[1.0], guidance.conditional(model, labels)(y, 2.0))
    torch.testing.assert_close(at[0.0], torch.zeros_like(y))
    torch.testing.assert_close(at[3.0], 3 * at[1.0])


def test_clamped_keeps_the_estimate_inside() -> None:
    inside = guidance.clamped(lambda y, sigma: y)
    assert inside(torch.tensor([-3.0, 0.5, 2.0]), 1.0).tolist() == [-1.0, 0.5, 1.0]
