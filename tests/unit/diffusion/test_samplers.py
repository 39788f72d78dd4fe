"""Samplers against a Gaussian whose denoiser is known exactly: what they draw, and how fast it becomes right.

A sampler is linear where the denoiser is, so that what it draws is known exactly from its answers to unit noises.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from ddpm.diffusion import process as processes
from ddpm.diffusion import schedule
from ddpm.diffusion.samplers import table as samplers
from tests.support.gaussian import HIGH, LOW, MEAN, SPREAD, exact, geometric

Draw = Callable[..., Tensor]


def levels(name: str, total: int, count: int, spacing: str = "log-snr") -> Tensor:
    table = schedule.sigmas(schedule.betas(name, total))
    return schedule.sampling_sigmas(spacing, table, count)


def no_noise(step: int) -> Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


def flow(y: Tensor, sigma: float, lower: float = 0.0) -> Tensor:
    """Solve the probability flow ODE exactly, from y at level sigma."""
    return MEAN + (y - MEAN) * math.sqrt((SPREAD**2 + lower**2) / (SPREAD**2 + sigma**2))


def law(
    draw: Draw, sigmas: Tensor, mean: float, variance: float, denoise: samplers.Denoise = exact
) -> tuple[float, float]:
    """Mean and standard deviation of what a sampler draws from a start of the given law.

    One run answers for all noises at once: row 0 has none, row 1 a unit start, row 2 + c a unit in the c-th noise.
    """
    start = torch.zeros(3 * len(sigmas), 1, dtype=torch.float64)
    start[1] = 1
    asked: list[int] = []

    def noise(step: int) -> Tensor:
        unit = torch.zeros_like(start)
        unit[2 + len(asked)] = 1
        asked.append(step)
        return unit

    drawn = draw(denoise, start, sigmas, noise)
    answers = drawn - drawn[0]
    spread = (answers[1] ** 2 * variance + (answers[2:] ** 2).sum()).sqrt().item()
    return (drawn[0] + answers[1] * mean).item(), spread


ODE = ("ddim", "euler", "heun", "dpm-solver++")


@pytest.mark.parametrize("name", ODE)
def test_order_of_convergence_on_a_gaussian(name: str) -> None:
    draw, order = samplers.SAMPLERS[name].draw, samplers.SAMPLERS[name].order
    y = torch.linspace(-40, 40, 9, dtype=torch.float64)

    def error(count: int) -> float:
        return (draw(exact, y, geometric(count), no_noise) - flow(y, HIGH, LOW)).abs().max().item()

    assert math.log2(error(160) / error(320)) == pytest.approx(order, abs=0.1)


LAW: list[tuple[str, dict[str, Any]]] = [
    ("ddpm", {}),
    ("ddpm", {"variance": "large"}),
    ("ddpm", {"variance": "reverse-diffusion"}),
    ("ddim", {"eta": 0.5}),
    ("euler", {"churn": 5.0}),
    ("heun", {"churn": 5.0}),
    ("heun", {"churn": 5.0, "churn_min": 0.05, "churn_max": 5.0}),
    ("dpm-solver++sde", {}),
]


@pytest.mark.parametrize(("name", "options"), LAW)
def test_the_law_of_a_stochastic_sampler_converges_at_its_order(name: str, options: dict[str, Any]) -> None:
    draw, order = partial(samplers.SAMPLERS[name].draw, **options), samplers.SAMPLERS[name].order

    def error(count: int) -> float:
        mean, spread = law(draw, geometric(count), MEAN, SPREAD**2 + HIGH**2)
        assert mean == pytest.approx(MEAN, abs=1e-12)
        return abs(spread - math.hypot(SPREAD, LOW))

    assert error(320) < 0.005
    assert math.log2(error(160) / error(320)) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_exact_consistency_function_draws_the_exact_law_in_any_number_of_steps(steps: int) -> None:
    sigmas = torch.cat([torch.logspace(math.log10(HIGH), -1, steps, dtype=torch.float64), torch.zeros(1)])
    draw = samplers.SAMPLERS["consistency"].draw
    mean, spread = law(draw, sigmas, MEAN, SPREAD**2 + HIGH**2, flow)
    assert (mean, spread) == pytest.approx((MEAN, SPREAD), abs=1e-12)
    _, blurred = law(draw, sigmas, MEAN, SPREAD**2 + HIGH**2)  # of a denoiser, which is no consistency function
    assert blurred < 0.99 * SPREAD


def test_every_order_of_the_table_is_measured() -> None:
    measured = {*ODE, *(name for name, _ in LAW), "ode"}
    assert {name for name, row in samplers.SAMPLERS.items() if row.order is not None} == measured


def test_a_learned_variance_draws_the_exact_law_in_any_number_of_steps() -> None:
    """With the exact mean and the exact variance of q(y_lower | y), a Gaussian needs no small steps."""

    def exact_both(y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        lower = sigmas[(sigmas == sigma).nonzero()[0, 0] + 1].item()
        small, large = samplers.small_variance(sigma, lower) ** 2, samplers.large_variance(sigma, lower) ** 2
        # Var[x0 | y] moves the mean by its share (1 - lower^2 / sigma^2)
        true = small + (1 - (lower / sigma) ** 2) ** 2 * SPREAD**2 * sigma**2 / (SPREAD**2 + sigma**2)
        return exact(y, sigma), torch.full_like(y, math.log(true / small) / math.log(large / small))

    sigmas = torch.tensor([20.0, 3.0, 0.7, 0.1, 0.02], dtype=torch.float64)

    def draw(denoise: samplers.Denoise, y: Tensor, levels: Tensor, noise: samplers.Noise) -> Tensor:
        return samplers.ddpm_learned(exact_both, y, levels, noise)

    mean, spread = law(draw, sigmas, MEAN, SPREAD**2 + HIGH**2)
    assert mean == pytest.approx(MEAN, abs=1e-12)
    assert spread == pytest.approx(math.hypot(SPREAD, LOW), rel=1e-9)
    assert abs(law(samplers.ddpm, sigmas, MEAN, SPREAD**2 + HIGH**2)[1] - SPREAD) > 0.1


@pytest.mark.parametrize("name", list(schedule.SCHEDULES))
def test_large_variance_is_exact_for_data_of_unit_variance(name: str) -> None:
    """Ho et al. 2020, section 3.2: `beta_t` is optimal for x0 ~ N(0, I)."""
    draw = partial(samplers.ddpm, variance="large")
    sigmas = levels(name, 200, 200)
    _, spread = law(draw, sigmas, 0.0, 1 + sigmas[0].item() ** 2, partial(exact, mean=0.0, spread=1.0))
    assert spread == pytest.approx(1 / math.sqrt(1 + sigmas[-2].item() ** 2), rel=1e-9)


@pytest.mark.parametrize("total", [1000, 2000, 5000])
def test_ancestral_sampling_over_the_whole_chain_gives_the_right_law(total: int) -> None:
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


@pytest.mark.parametrize("total", [1000, 2000, 5000])
def test_dpm_solver_reaches_the_exact_image_in_20_steps(total: int) -> None:
    sigmas = levels("cosine", total, 20)
    y = sigmas[0] * torch.linspace(-2, 2, 9, dtype=torch.float64)
    expected = flow(y, sigmas[0].item())
    assert (samplers.dpm_solver_pp(exact, y, sigmas, no_noise) - expected).abs().max() < 0.03


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
def test_the_adaptive_solver_keeps_to_its_tolerance_with_steps_to_match(tolerance: float) -> None:
    calls: list[float] = []

    def counted(y: Tensor, sigma: float) -> Tensor:
        calls.append(sigma)
        return exact(y, sigma)

    sigmas = torch.cat([geometric(4), torch.zeros(1, dtype=torch.float64)])
    y = torch.linspace(-40, 40, 9, dtype=torch.float64)
    drawn = samplers.ode(counted, y, sigmas, no_noise, tolerance=tolerance)
    before_last = flow(y, HIGH, LOW)
    assert (drawn - exact(before_last, LOW)).abs().max() < 20 * tolerance
    order = samplers.SAMPLERS["ode"].order
    assert order == 5
    assert len(calls) < 30 * tolerance ** (-1 / order)


def test_the_adaptive_solver_shows_the_way_at_the_levels_and_takes_a_single_level() -> None:
    sigmas = torch.cat([geometric(3), torch.zeros(1, dtype=torch.float64)])
    seen: dict[int, tuple[Tensor, Tensor]] = {}
    y = torch.linspace(-40, 40, 9, dtype=torch.float64)
    samplers.ode(exact, y, sigmas, no_noise, tolerance=1e-6, callback=lambda i, y, x0: seen.update({i: (y, x0)}))
    assert list(seen) == [0, 1, 2, 3]
    for i, (way, x0) in seen.items():
        torch.testing.assert_close(way, flow(y, HIGH, sigmas[i].item()), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(x0, exact(way, sigmas[i].item()))
    one = torch.tensor([HIGH, 0.0], dtype=torch.float64)
    torch.testing.assert_close(samplers.ode(exact, y, one, no_noise), exact(y, HIGH))


def test_euler_is_ddim_and_ddim_with_eta_1_is_ancestral() -> None:
    sigmas = levels("linear", 1000, 50)
    noises = torch.randn(50, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = sigmas[0] * torch.linspace(-2, 2, 7, dtype=torch.float64)
    torch.testing.assert_close(
        samplers.euler(exact, y, sigmas, no_noise), samplers.ddim(exact, y, sigmas, no_noise), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        samplers.ddpm(exact, y, sigmas, lambda i: noises[i]),
        samplers.ddim(exact, y, sigmas, lambda i: noises[i], eta=1.0),
        rtol=1e-10, atol=1e-10,
    )  # fmt: skip


def test_churn_is_limited_in_size_and_to_its_levels() -> None:
    """Karras et al. 2022: no level is raised by more than sqrt(2) - 1, and those outside the limits not at all."""
    sigmas = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    seen: list[float] = []

    def denoise(y: Tensor, sigma: float) -> Tensor:
        seen.append(sigma)
        return torch.zeros_like(y)

    asked: list[int] = []

    def noise(step: int) -> Tensor:
        asked.append(step)
        return torch.zeros(1, dtype=torch.float64)

    samplers.euler(denoise, sigmas[:1], sigmas, noise, churn=100.0, churn_min=2.0, churn_max=4.0)
    assert seen == pytest.approx([8.0, 4 * math.sqrt(2), 2 * math.sqrt(2), 1.0])
    assert asked == [1, 2]
    seen.clear()
    samplers.euler(denoise, sigmas[:1], sigmas, noise, churn=0.4)
    assert seen == pytest.approx([8.8, 4.4, 2.2, 1.1])


def test_with_fraction_keeps_the_fraction_of_the_labels_asked_for() -> None:
    def model(y: Tensor, sigma: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return y * 0, labels.double().view(-1, 1).expand_as(y)

    def guided(x0: Callable[..., Tensor]) -> samplers.Denoise:
        def denoise(y: Tensor, sigma: float) -> Tensor:
            both = x0(torch.cat([y, y]), torch.tensor(sigma), torch.tensor([0, 1, 5, 5]))
            return both[:2] + 1

        return denoise

    x0, fraction = samplers.with_fraction(model, guided)(torch.zeros(2, 3, dtype=torch.float64), 1.0)
    assert (x0 == 1).all()
    assert fraction.tolist() == [[0.0] * 3, [1.0] * 3]


@pytest.mark.parametrize("draw", [samplers.euler, samplers.dpm_solver_pp, samplers.dpm_solver_pp_sde, samplers.ddpm])
def test_samplers_draw_the_gaussian_over_the_levels_of_a_flow(draw: Draw) -> None:
    """All of them, from the start that the process gives: no sampler knows which process made its levels."""
    process = processes.flow(1000)
    sigmas = schedule.sampling_sigmas("log-snr", process.sigmas, 300)
    mean, spread = law(draw, sigmas, 0.0, process.prior**2)
    assert mean == pytest.approx(MEAN, abs=0.01)
    assert spread == pytest.approx(SPREAD, rel=0.03)
