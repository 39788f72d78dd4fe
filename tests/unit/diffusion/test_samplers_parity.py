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
)
from diffusers.schedulers import scheduling_dpmsolver_multistep, scheduling_edm_euler, scheduling_euler_discrete
from torch import Tensor

from ddpm.diffusion.samplers import table as samplers
from tests.support.parity import TABLE, Draw, close, fake_eps, in_float64, in_sigma, way, with_end


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The comparison is of formulas: theirs round to float32 within a step, and are made to mean float64 by it."""
    wide = SimpleNamespace(**{name: getattr(torch, name) for name in dir(torch)} | {"float32": torch.float64})
    for module in (scheduling_dpmsolver_multistep, scheduling_edm_euler, scheduling_euler_discrete):
        monkeypatch.setattr(module, "torch", wide)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def noises(seed: int = 4) -> samplers.Noise:
    generator = torch.Generator().manual_seed(seed)
    return lambda i: torch.randn(5, 1, dtype=torch.float64, generator=generator)


CHAIN: dict[str, tuple[Draw, Callable[[], Any], dict[str, Any]]] = {
    # ours; theirs; arguments of their step
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
    theirs = in_float64(make())
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
    theirs = in_float64(DDPMScheduler(variance_type="learned_range", clip_sample=False))
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
