"""Predictors and correctors step by step against the published code."""

import math
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from diffusers import (
    DDPMScheduler,
    ScoreSdeVeScheduler,
)
from torch import Tensor

from ddpm.diffusion.samplers import table as samplers
from tests.support.parity import TABLE, close, fake_eps, in_float64, in_sigma, way, with_end


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Compare formulas, without the rounding of float32."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


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
    theirs = in_float64(DDPMScheduler(variance_type="fixed_small", clip_sample=False))
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
