"""Samplers step by step against diffusers' scheduler of that name, with the same network, levels and noise."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    ScoreSdeVeScheduler,
)
from diffusers.schedulers import scheduling_dpmsolver_multistep, scheduling_edm_euler, scheduling_euler_discrete
from torch import Tensor

from ddpm.diffusion import schedule
from ddpm.diffusion.samplers import table as samplers

TABLE = schedule.sigmas(schedule.betas("linear", 1000))
Draw = Callable[..., Tensor]
close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-9)


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The comparison is of formulas: theirs round to float32 within a step, and are made to mean float64 by it."""
    wide = SimpleNamespace(**{name: getattr(torch, name) for name in dir(torch)} | {"float32": torch.float64})
    for module in (scheduling_dpmsolver_multistep, scheduling_edm_euler, scheduling_euler_discrete):
        monkeypatch.setattr(module, "torch", wide)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fake_eps(x: Tensor, step: float) -> Tensor:
    """A nonlinear stand-in for a network that predicts eps from x_t."""
    return torch.tanh(x * 0.7 + step / 700) * 0.9


def in_sigma(y: Tensor, sigma: float) -> Tensor:
    """The same network as a denoiser; the step is where sigma lies in the table."""
    step = int((TABLE - sigma).abs().argmin())
    return y - sigma * fake_eps(y / math.sqrt(1 + sigma**2), step)


def with_end(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])


def noises(seed: int = 4) -> samplers.Noise:
    generator = torch.Generator().manual_seed(seed)
    return lambda i: torch.randn(5, 1, dtype=torch.float64, generator=generator)


def way(draw: Draw, denoise: Any, y: Tensor, sigmas: Tensor, noise: samplers.Noise) -> list[Tensor]:
    """What a sampler sees at each of its levels, and its end."""
    seen: list[Tensor] = []
    final = draw(denoise, y, sigmas, noise, callback=lambda i, y, x0: seen.append(y))
    return [*seen, final]


CHAIN: dict[str, tuple[Draw, Callable[[], Any], dict[str, Any]]] = {
    # ours; theirs; what their step is told
    "ddpm-small": (samplers.ddpm, lambda: DDPMScheduler(variance_type="fixed_small", clip_sample=False), {}),
    "ddpm-large": (
        partial(samplers.ddpm, variance="large"),
        lambda: DDPMScheduler(variance_type="fixed_large", clip_sample=False),
        {},
    ),
    "ddim": (samplers.ddim, lambda: DDIMScheduler(clip_sample=False), {}),
    "ddim-eta": (partial(samplers.ddim, eta=0.6), lambda: DDIMScheduler(clip_sample=False), {"eta": 0.6}),
    "ddim-eta-1": (partial(samplers.ddim, eta=1.0), lambda: DDIMScheduler(clip_sample=False), {"eta": 1.0}),
    "dpm-solver++": (samplers.dpm_solver_pp, lambda: DPMSolverMultistepScheduler(algorithm_type="dpmsolver++"), {}),
    "dpm-solver++sde": (
        samplers.dpm_solver_pp_sde,
        lambda: DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"),
        {},
    ),
}


@pytest.mark.parametrize("name", CHAIN)
@pytest.mark.parametrize("count", [10, 100])
def test_samplers_of_the_chain(name: str, count: int) -> None:
    ours, make, options = CHAIN[name]
    theirs = _in_float64(make())
    theirs.set_timesteps(count)
    steps = theirs.timesteps.tolist()
    sigmas = with_end(TABLE[steps])
    if isinstance(theirs, DPMSolverMultistepScheduler):
        theirs.sigmas = sigmas  # computed in float32 there
    x = torch.randn(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    expected, generator = [x], torch.Generator().manual_seed(4)
    for step in steps:
        output = theirs.step(fake_eps(expected[-1], step), step, expected[-1], generator=generator, **options)
        expected.append(output.prev_sample.double())
    mine = way(ours, in_sigma, (1 + sigmas[0] ** 2).sqrt() * x, sigmas, noises())
    for y, sigma, other in zip(mine, sigmas, expected, strict=True):
        close(y / (1 + sigma**2).sqrt(), other)


def test_a_learned_variance() -> None:
    theirs = _in_float64(DDPMScheduler(variance_type="learned_range", clip_sample=False))
    theirs.set_timesteps(50)
    steps = theirs.timesteps.tolist()
    sigmas = with_end(TABLE[steps])
    x = torch.randn(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def says(x: Tensor) -> Tensor:
        return torch.sin(3 * x)  # of the variance, from -1 to 1

    def both(y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        return in_sigma(y, sigma), (says(y / math.sqrt(1 + sigma**2)) + 1) / 2

    expected, generator = [x], torch.Generator().manual_seed(4)
    for step in steps:
        now = expected[-1]
        output = theirs.step(torch.cat([fake_eps(now, step), says(now)], 1), step, now, generator=generator)
        expected.append(output.prev_sample.double())
    mine = way(samplers.ddpm_learned, both, (1 + sigmas[0] ** 2).sqrt() * x, sigmas, noises())
    for y, sigma, other in zip(mine, sigmas, expected, strict=True):
        close(y / (1 + sigma**2).sqrt(), other)


def _in_float64(theirs: Any) -> Any:
    """Give a scheduler of the chain our tables in place of its own in float32."""
    theirs.betas = schedule.betas("linear", 1000)
    theirs.alphas = 1 - theirs.betas
    theirs.alphas_cumprod = theirs.alphas.cumprod(0)
    theirs.one = torch.tensor(1.0, dtype=torch.float64)
    theirs.final_alpha_cumprod = theirs.one
    theirs.alpha_t = theirs.alphas_cumprod.sqrt()
    theirs.sigma_t = (1 - theirs.alphas_cumprod).sqrt()
    theirs.lambda_t = theirs.alpha_t.log() - theirs.sigma_t.log()
    return theirs


CHURN = {"churn": 30.0, "churn_min": 0.05, "churn_max": 60.0, "churn_noise": 1.01}
THEIR_CHURN = {"s_churn": 30.0, "s_tmin": 0.05, "s_tmax": 60.0, "s_noise": 1.01}


@pytest.mark.parametrize("churned", [False, True])
@pytest.mark.parametrize("count", [10, 100])
def test_euler(churned: bool, count: int) -> None:
    theirs = EulerDiscreteScheduler()
    theirs.set_timesteps(count)
    sigmas = with_end(TABLE[torch.linspace(999, 0, count).long()])
    theirs.sigmas, theirs.is_scale_input_called = sigmas, True
    y = sigmas[0] * torch.randn(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    mine = way(partial(samplers.euler, **CHURN if churned else {}), in_sigma, y, sigmas, noises())

    now, generator = y, torch.Generator().manual_seed(4)
    for i, time in enumerate(theirs.timesteps):
        sigma, raised = sigmas[i].item(), sigmas[i].item()
        if churned and 0.05 <= sigma <= 60:
            # theirs asks the network before it adds noise: give it the answer that belongs after
            share = min(30 / count, math.sqrt(2) - 1)
            raised = sigma * (1 + share)
            peek = torch.Generator().set_state(generator.get_state())
            extra = torch.randn(5, 1, dtype=torch.float64, generator=peek)
            network = _eps(now + 1.01 * math.sqrt(raised**2 - sigma**2) * extra, raised)
        else:
            network = _eps(now, sigma)
        options = THEIR_CHURN if churned else {}
        now = theirs.step(network, time, now, generator=generator, **options).prev_sample
    close(mine[-1], now)
    if not churned:
        close(mine[-1], samplers.ddim(in_sigma, y, sigmas, noises()))


def _eps(y: Tensor, sigma: float) -> Tensor:
    return (y - in_sigma(y, sigma)) / sigma


def test_euler_in_the_coordinates_of_edm() -> None:
    theirs = EDMEulerScheduler(sigma_data=0.6)
    theirs.set_timesteps(30)
    theirs.sigmas, theirs.is_scale_input_called = theirs.sigmas.double(), True

    def network(x: Tensor, sigma: float) -> Tensor:
        return torch.tanh(x * 0.7 + 0.25 * math.log(sigma)) * 0.9

    def denoise(y: Tensor, sigma: float) -> Tensor:
        total = sigma**2 + 0.36
        return 0.36 / total * y + 0.6 * sigma / math.sqrt(total) * network(y / math.sqrt(total), sigma)

    y = theirs.sigmas[0] * torch.randn(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    mine = way(samplers.euler, denoise, y, theirs.sigmas, noises())
    now = y
    for i, time in enumerate(theirs.timesteps):
        close(mine[i], now)
        sigma = theirs.sigmas[i].item()
        now = theirs.step(network(theirs.precondition_inputs(now, sigma), sigma), time, now).prev_sample
    close(mine[-1], now)


@pytest.mark.parametrize("count", [10, 100])
def test_heun(count: int) -> None:
    theirs = HeunDiscreteScheduler()
    theirs.set_timesteps(count)
    sigmas = with_end(TABLE[torch.linspace(999, 0, count).long()])
    theirs.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])  # as there, in float64
    y = sigmas[0] * torch.randn(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    mine = way(samplers.heun, in_sigma, y, sigmas, noises())
    now, place = y, 0
    for i, time in enumerate(theirs.timesteps):
        if i % 2 == 0:  # the odd ones are the second half of a step
            close(mine[place], now)
            place += 1
        level = sigmas[(i + 1) // 2].item()
        now = theirs.step(_eps(now, level), time, now).prev_sample
    close(mine[-1], now)


@pytest.mark.parametrize("corrections", [0, 1, 2])
def test_predictor_and_corrector_of_the_ve_sde(corrections: int) -> None:
    theirs = ScoreSdeVeScheduler(snr=0.16)
    count = 60
    theirs.set_timesteps(count)
    ascending = torch.logspace(-2, 2, count, dtype=torch.float64)
    theirs.discrete_sigmas = ascending
    sigmas = with_end(ascending.flip(0))
    y = 100 * torch.randn(1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def score(y: Tensor, sigma: float) -> Tensor:
        return -torch.tanh(y / math.hypot(sigma, 0.5) * 0.7 + math.log(sigma) / 9) / sigma

    def fresh() -> samplers.Noise:
        generator = torch.Generator().manual_seed(4)
        return lambda i: torch.randn(1, 8, dtype=torch.float64, generator=generator)

    ours = partial(samplers.predictor_corrector_ve, variance="reverse-diffusion", corrections=corrections, snr=0.16)
    mine = way(ours, lambda y, sigma: y + sigma**2 * score(y, sigma), y, sigmas, fresh())
    now, generator = y, torch.Generator().manual_seed(4)
    for i, sigma in enumerate(sigmas[:-1].tolist()):
        for _ in range(corrections):
            now = theirs.step_correct(score(now, sigma), now, generator=generator).prev_sample
        close(mine[i], now)
        time = (count - 1 - i + 0.5) / (count - 1)  # its place in the table, which they find by rounding down
        moved = theirs.step_pred(score(now, sigma), time, now, generator=generator)
        now = moved.prev_sample
    close(mine[-1], moved.prev_sample_mean)


def test_the_corrector_of_the_vp_sde_in_its_own_coordinates() -> None:
    """Song et al. 2021, algorithms 3 and 5, written out for x = y / sqrt(1 + sigma^2); theirs steps back."""
    theirs = _in_float64(DDPMScheduler(variance_type="fixed_small", clip_sample=False))
    theirs.set_timesteps(1000)
    sigmas = with_end(TABLE.flip(0))
    x = torch.randn(1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def draws() -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(4)
        while True:
            yield torch.randn(1, 8, dtype=torch.float64, generator=generator)

    left = draws()
    mine = way(samplers.predictor_corrector, in_sigma, (1 + sigmas[0] ** 2).sqrt() * x, sigmas, lambda i: next(left))
    generator = torch.Generator().manual_seed(4)
    for i, step in enumerate(theirs.timesteps.tolist()):
        score = -fake_eps(x, step) / (1 - theirs.alphas_cumprod[step]).sqrt()
        z = torch.randn(1, 8, dtype=torch.float64, generator=generator)
        size = 2 * theirs.alphas[step] * (0.16 * z.norm() / score.norm()) ** 2
        x = x + size * score + (2 * size).sqrt() * z
        close(mine[i] / (1 + sigmas[i] ** 2).sqrt(), x)
        x = theirs.step(fake_eps(x, step), step, x, generator=generator).prev_sample
    close(mine[-1], x)
