"""Consistency distillation: a network that maps a noisy image to the end of its probability flow in one evaluation.

A consistency function f(y, sigma) is constant along each path of the flow, and f(y, 0) = y (Song et al. 2023,
equation 5). Every prediction but x0 has that boundary by its coefficients: skip is 1 and out is 0 at sigma = 0. So f is
a denoiser in form, it starts as the teacher's, and only the loss differs.
"""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from ddpm.diffusion.denoiser import WEIGHTINGS, Denoiser, per_image

Teacher = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]


def loss(
    denoiser: Denoiser,
    x: Tensor,
    sigma: Tensor,
    noise: Tensor,
    labels: Tensor | None,
    weighting: str,
    condition: Tensor | None = None,
    *,
    teacher: Teacher,
    hops: int,
) -> Tensor:
    """Weighted squared distance of f at y and at the point to which the flow takes y in one hop, per image: (B,).

    x (B, C, H, W) in [-1, 1]; sigma (B,) float64; noise like x. teacher: a denoiser `(y, sigma, labels, condition)`,
    whose probability flow is followed by an Euler step (Song et al. 2023, algorithm 2). hops: of equally many levels of
    the process each, from its highest level to 0. The target is f itself, without a gradient (Song and Dhariwal 2024,
    section 3.2).
    """
    y = x + per_image(sigma, x) * noise
    lower = below(denoiser.sigmas, sigma, hops)
    with torch.no_grad(), same_dropout(x.device):
        estimate = teacher(y, sigma, labels, condition)
        moved = estimate + per_image(lower / sigma, x) * (y - estimate)
        target = denoiser(moved, lower.clamp(min=denoiser.sigmas[0]), labels, condition)
        target = torch.where(per_image(lower, x) > 0, target, moved)
    weight = WEIGHTINGS[weighting](sigma, denoiser.coefficients(sigma), denoiser.sigma_data)
    error: Tensor = denoiser(y, sigma, labels, condition) - target
    return weight.to(x.dtype) * error.square().mean(dim=tuple(range(1, x.ndim)))


def below(sigmas: Tensor, sigma: Tensor, hops: int) -> Tensor:
    """The level one hop below each of `sigma` (B,), in an ascending table; 0 below its first hop."""
    index = torch.searchsorted(sigmas, sigma) - max(1, round(len(sigmas) / hops))
    return torch.where(index >= 0, sigmas[index.clamp(min=0)], 0.0)


def guided(model: Teacher, null: int, scale: float) -> Teacher:
    """The model with classifier-free guidance (Ho and Salimans 2022, equation 6), at every level; see `guidance`.

    null: the label that means "no class".
    """

    def estimate(y: Tensor, sigma: Tensor, labels: Tensor | None, condition: Tensor | None) -> Tensor:
        if scale == 1 or labels is None:
            return model(y, sigma, labels, condition)
        both = torch.cat([labels, torch.full_like(labels, null)])
        twice = None if condition is None else torch.cat([condition, condition])
        given, none = model(torch.cat([y, y]), torch.cat([sigma, sigma]), both, twice).chunk(2)
        return none + scale * (given - none)

    return estimate


def same_dropout(where: torch.device) -> contextlib.AbstractContextManager[None]:
    """Restore the global generator after the block, so that the pass after it draws the same dropout."""
    forked: contextlib.AbstractContextManager[None] = torch.random.fork_rng([where] if where.type == "cuda" else [])
    return forked
