"""Restoration with an unconditional model: a degraded image `A x + noise` constrains `denoise`.

Images are (B, C, H, W) in [-1, 1]. A degradation is a linear operator A with its pseudo-inverse; the model fills in
what it destroys.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ddpm.diffusion import schedule
from ddpm.diffusion.samplers.base import Denoise, Noise

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2: how grey is made of red, green and blue
MEDIAN = 0.6745  # of |n|, for standard normal n
ROUNDS = 20  # each halves what is missing of the estimate where half of the noise was cut off


class Operator(NamedTuple):
    """`forward` is A, `inverse` its pseudo-inverse; `A A^T = energy * I` on what A sees."""

    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    energy: float


def identity() -> Operator:
    """The identity, for denoising."""
    return Operator(lambda x: x, lambda x: x, 1.0)


def masked(known: Tensor) -> Operator:
    """Keep the pixels where `known`, which broadcasts to (B, C, H, W), is 1; the others become 0."""
    return Operator(lambda x: known * x, lambda x: known * x, 1.0)


def pooled(scale: int) -> Operator:
    """Average each square of `scale` x `scale` pixels; the inverse repeats the mean."""
    return Operator(
        lambda x: functional.avg_pool2d(x, scale),
        lambda x: x.repeat_interleave(scale, 2).repeat_interleave(scale, 3),
        1 / scale**2,
    )


def grey() -> Operator:
    """Reduce colours (B, 3, H, W) to their luma (B, 1, H, W)."""
    energy = sum(weight**2 for weight in LUMA)

    def weights(like: Tensor) -> Tensor:
        return like.new_tensor(LUMA).view(1, 3, 1, 1)

    return Operator(lambda x: (weights(x) * x).sum(1, keepdim=True), lambda x: weights(x) / energy * x, energy)


def consistent(
    denoise: Denoise, operator: Operator, observed: Tensor, noise: float = 0.0, spread: float = 1.0
) -> Denoise:
    """Move the estimate towards the observation: `x0 + gain * A^+ (observed - A x0)`.

    Without noise the gain is 1: the observed part of x0 is replaced by the observation (DDNM, Wang et al. 2023, section
    3.2). With noise of standard deviation `noise` it is that of a Kalman filter, for an estimate whose error is that of
    pixels of standard deviation `spread`: `r^2 = sigma^2 spread^2 / (sigma^2 + spread^2)` (Song et al. 2023, PGDM),
    exact for Gaussian images. At most r / 2 of the noise passes, never more than the level of the step, as DDNM+
    requires (Wang et al. 2023, section 3.3).
    """

    def estimate(y: Tensor, sigma: float) -> Tensor:
        x0 = denoise(y, sigma)
        error = operator.energy * sigma**2 * spread**2 / (sigma**2 + spread**2)
        return x0 + error / (error + noise**2) * operator.inverse(observed - operator.forward(x0))

    return estimate


def returning(draw: Callable[..., Tensor], jump: int, rounds: int) -> Callable[..., Tensor]:
    """Make a sampler that runs every `jump` steps of `draw` `rounds` times, adding the noise back in between.

    The filled-in part then comes to agree with the known part (RePaint, Lugmayr et al. 2022, section 4.2). In sigma
    coordinates the way back up from `low` to `high` is `y + sqrt(high^2 - low^2) * noise`.
    """

    def draw_again(denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, **options: object) -> Tensor:
        calls = itertools.count()

        def fresh(step: int) -> Tensor:
            return noise(next(calls))

        for first in range(0, len(sigmas) - 1, jump):
            stretch = sigmas[first : first + jump + 1]
            y = draw(denoise, y, stretch, fresh, **options)
            for _ in range(rounds - 1):
                y = y + math.sqrt(stretch[0] ** 2 - stretch[-1] ** 2) * fresh(first)
                y = draw(denoise, y, stretch, fresh, **options)
        return y

    return draw_again


def levels_from(sigma: float, table: Tensor, spacing: str, steps: int) -> Tensor:
    """Sigmas for a sampler that starts at an observation `x + sigma * noise`, which is a point of the process.

    `sigma`, then up to `steps - 1` entries of the ascending `table` below it, then 0: float64. With one step, the
    result is the posterior mean.
    """
    below = table[table < sigma]
    count = min(steps - 1, len(below))
    visited = below[schedule.timesteps(spacing, below, count)] if count else below[:0]
    return torch.cat([table.new_tensor([sigma]), visited, table.new_zeros(1)])


def estimated_noise(observed: Tensor, noise: Tensor, known: Tensor | None = None) -> float:
    """Estimate the standard deviation of white noise in an image (C, H, W) that may have been clipped at -1 and 1.

    noise: standard normal, like `observed`; known: (H, W), True for pixels that count.
    """
    sigma = _uncut_noise(observed, known)
    for _ in range(ROUNDS):
        sigma = _uncut_noise(unclipped(observed, sigma, noise), known)
    return sigma


def unclipped(observed: Tensor, sigma: float, noise: Tensor) -> Tensor:
    """Undo clipping at -1 and 1 in distribution: add half-normal noise beyond the limit.

    Exact where the image itself is black or white; only pixels at exactly -1 or 1 change. noise: standard normal, like
    `observed`.
    """
    beyond = sigma * noise.abs()
    return observed + (observed == 1) * beyond - (observed == -1) * beyond


def _uncut_noise(observed: Tensor, known: Tensor | None) -> float:
    """The median absolute diagonal Haar coefficient over 0.6745 (Donoho and Johnstone 1994, section 4.2).

    The median ignores the few coefficients that see an edge.
    """
    height, width = (side // 2 * 2 for side in observed.shape[-2:])

    def corners(picture: Tensor) -> list[Tensor]:
        return [picture[..., top:height:2, left:width:2] for top in (0, 1) for left in (0, 1)]

    a, b, c, d = corners(observed)
    detail = ((a - b - c + d) / 2).abs()
    if known is not None:
        detail = detail[:, torch.stack(corners(known)).all(0)]
    if detail.numel() == 0:
        raise ValueError("no 2 x 2 pixels are known together, so their noise cannot be estimated: give it as a number")
    return detail.median().item() / MEDIAN
