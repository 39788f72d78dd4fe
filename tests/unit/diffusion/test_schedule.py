"""Noise schedules against closed forms and diffusers."""

import math

import pytest
import torch
from diffusers import DDPMScheduler

from ddpm.diffusion import schedule

NAMES = list(schedule.SCHEDULES)


@pytest.mark.parametrize("steps", [1000, 2000, 5000])
@pytest.mark.parametrize(
    ("name", "theirs"),
    [("linear", "linear"), ("cosine", "squaredcos_cap_v2"), ("quadratic", "scaled_linear"), ("sigmoid", "sigmoid")],
)
def test_betas_equal_diffusers(name: str, theirs: str, steps: int) -> None:
    scale = 1000 / steps
    reference = DDPMScheduler(steps, beta_start=1e-4 * scale, beta_end=0.02 * scale, beta_schedule=theirs)
    torch.testing.assert_close(schedule.betas(name, steps).float(), reference.betas, rtol=2e-5, atol=1e-7)


def test_linear_sigma_has_its_closed_form_over_two_steps() -> None:
    alpha_bar = (1 - 0.1) * (1 - 0.3)
    sigma = schedule.sigmas(torch.tensor([0.1, 0.3], dtype=torch.float64))
    assert sigma.tolist() == pytest.approx([math.sqrt(0.1 / 0.9), math.sqrt((1 - alpha_bar) / alpha_bar)], rel=1e-14)


def test_cosine_alpha_bar_is_a_squared_cosine() -> None:
    sigma = schedule.sigmas(schedule.betas("cosine", 1000))
    alpha_bar = 1 / (1 + sigma**2)
    time = torch.arange(1, 1001, dtype=torch.float64) / 1000
    expected = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(alpha_bar[:990], expected[:990], rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 2, 10, 1000, 2000, 5000])
def test_sigmas_ascend_and_are_finite(name: str, steps: int) -> None:
    sigma = schedule.sigmas(schedule.betas(name, steps))
    assert sigma.shape == (steps,)
    assert sigma.dtype == torch.float64
    assert (sigma > 0).all()
    assert torch.isfinite(sigma).all()
    assert (sigma.diff() > 0).all()


@pytest.mark.parametrize("name", ["linear", "quadratic", "sigmoid"])
def test_a_longer_chain_destroys_as_much(name: str) -> None:
    ends = [schedule.sigmas(schedule.betas(name, steps))[-1].log().item() for steps in (1000, 2000, 5000)]
    assert max(ends) - min(ends) < 0.05


def test_zero_terminal_signal_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"abar = 0 at step 3 of 3.*sigma is infinite"):
        schedule.sigmas(torch.tensor([0.1, 0.2, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("spacing", list(schedule.SPACINGS))
@pytest.mark.parametrize("total", [1, 5, 1000])
def test_visited_steps_descend_from_the_last_without_repeats(spacing: str, total: int) -> None:
    sigma = schedule.sigmas(schedule.betas("cosine", total))
    for count in {1, 2, 3, 4, 5, 20, 999, total} & set(range(1, total + 1)):
        steps = schedule.timesteps(spacing, sigma, count).tolist()
        assert len(steps) == count
        assert steps == sorted(set(steps), reverse=True)
        assert steps[0] == total - 1
        assert steps[-1] >= 0
    assert schedule.timesteps(spacing, sigma, total).tolist() == list(range(total - 1, -1, -1))


def test_log_snr_spacing_is_even_in_log_sigma() -> None:
    """Where the table is fine enough; the largest sigmas of a cosine are far apart in log(sigma)."""
    sigma = schedule.sigmas(schedule.betas("cosine", 5000))
    gaps = sigma[schedule.timesteps("log-snr", sigma, 12)].log().diff()[4:]
    assert gaps.std() / gaps.mean().abs() < 0.1
    uniform = sigma[schedule.timesteps("uniform", sigma, 12)].log().diff()[4:]
    assert uniform.std() / uniform.mean().abs() > 0.5


def test_karras_spacing_is_even_in_the_seventh_root_of_sigma() -> None:
    sigma = torch.logspace(-2, 2, 5000, dtype=torch.float64)
    gaps = (sigma[schedule.timesteps("karras", sigma, 12)] ** (1 / 7)).diff()
    assert gaps.std() / gaps.mean().abs() < 0.02
    assert (sigma[schedule.timesteps("log-snr", sigma, 12)] ** (1 / 7)).diff().std() / gaps.mean().abs() > 0.1


@pytest.mark.parametrize("count", [0, 11])
def test_more_steps_than_the_chain_has_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"steps = {count}.*T = 10"):
        schedule.timesteps("uniform", schedule.sigmas(schedule.betas("cosine", 10)), count)
