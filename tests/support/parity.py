"""A stand-in for a network, and what samplers see, to compare with the schedulers of diffusers."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ddpm.diffusion import schedule
from ddpm.diffusion.samplers import table as samplers

TABLE = schedule.sigmas(schedule.betas("linear", 1000))


Draw = Callable[..., Tensor]


close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-9)


def fake_eps(x: Tensor, step: float) -> Tensor:
    """A nonlinear stand-in for a network that predicts eps from x_t."""
    return torch.tanh(x * 0.7 + step / 700) * 0.9


def in_sigma(y: Tensor, sigma: float) -> Tensor:
    """The same network as a denoiser; the step is where sigma lies in the table."""
    step = int((TABLE - sigma).abs().argmin())
    return y - sigma * fake_eps(y / math.sqrt(1 + sigma**2), step)


def with_end(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])


def way(draw: Draw, denoise: Any, y: Tensor, sigmas: Tensor, noise: samplers.Noise) -> list[Tensor]:
    """Return the samples at each level, and the final one."""
    seen: list[Tensor] = []
    final = draw(denoise, y, sigmas, noise, callback=lambda i, y, x0: seen.append(y))
    return [*seen, final]


def in_float64(theirs: Any) -> Any:
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
