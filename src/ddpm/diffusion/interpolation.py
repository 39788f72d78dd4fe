"""Interpolation of two images: by the probability flow to noise, along a great circle between the noises, and back."""

import torch
from torch import Tensor

from ddpm.diffusion.samplers.base import Denoise
from ddpm.diffusion.samplers.ode import heun


def encoded(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Encode x (B, C, H, W) as the noise at level `sigmas[0]` from which the probability flow draws it.

    sigmas: as for a sampler, descending to 0. The flow is integrated upwards from the lowest level above 0, where x
    differs from a sample by no more than that level (Song et al. 2021, section 4.3).
    """
    return heun(denoise, x, sigmas[:-1].flip(0), _no_noise)


def decoded(denoise: Denoise, y: Tensor, sigmas: Tensor) -> Tensor:
    """Decode y, noise at level `sigmas[0]`, to an image by the probability flow."""
    return heun(denoise, y, sigmas, _no_noise)


def spherical(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Interpolate on the great circle from start to end, each (C, ...): (N, C, ...) for shares (N,) from 0 to 1.

    A weighted mean of two independent noises would have too small a norm; this keeps it (Shoemake 1985; for diffusion,
    Song et al. 2020, appendix D.5).
    """
    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), 0)
    angle = cosine.double().clamp(-1, 1).acos()
    share = share.double().view(-1, *[1] * start.ndim)
    if angle.sin() < 1e-6:  # the same direction: nothing to go round
        return (1 - share).to(start) * start + share.to(start) * end
    first, second = ((1 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin()
    return first.to(start) * start + second.to(start) * end


def _no_noise(step: int) -> Tensor:
    raise RuntimeError("the probability flow without churn draws no noise")
