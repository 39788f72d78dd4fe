"""Between two images: along the probability flow to noise, on a sphere between the two noises, and back."""

import torch
from torch import Tensor

from ddpm.diffusion.samplers.base import Denoise
from ddpm.diffusion.samplers.ode import heun


def encoded(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """The noise from which the probability flow draws x (B, C, H, W), at the level `sigmas[0]`.

    sigmas: as for a sampler, descending to 0. The flow is a differential equation: it is followed upwards from the
    lowest level above 0, where x differs from a draw by no more than that level (Song et al. 2021, section 4.3).
    """
    return heun(denoise, x, sigmas[:-1].flip(0), _no_noise)


def decoded(denoise: Denoise, y: Tensor, sigmas: Tensor) -> Tensor:
    """What the probability flow draws from y at the level `sigmas[0]`."""
    return heun(denoise, y, sigmas, _no_noise)


def spherical(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """On the great circle from start to end, each (C, H, W): (N, C, H, W) for shares (N,) of the way from 0 to 1.

    Of two independent noises, a weighted mean would be too quiet; this keeps its norm (Shoemake 1985; for diffusion,
    Song et al. 2020, appendix D.5).
    """
    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), 0)
    angle = cosine.double().clamp(-1, 1).acos()
    share = share.double().view(-1, 1, 1, 1)
    if angle.sin() < 1e-6:  # the same direction: nothing to go round
        return (1 - share).to(start) * start + share.to(start) * end
    first, second = ((1 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin()
    return first.to(start) * start + second.to(start) * end


def _no_noise(step: int) -> Tensor:
    raise RuntimeError("the probability flow without churn draws no noise")
