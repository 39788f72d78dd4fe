"""Training objectives: what a step minimises. Each is a function of a denoiser and a batch, and a row of OBJECTIVES."""

from collections.abc import Callable

from torch import Tensor

from ddpm.diffusion import consistency
from ddpm.diffusion.denoiser import Denoiser

Objective = Callable[..., Tensor]
"""Called as `objective(denoiser, x, sigma, noise, labels, weighting, condition)`; returns a loss per image, (B,)."""


def denoising(
    denoiser: Denoiser,
    x: Tensor,
    sigma: Tensor,
    noise: Tensor,
    labels: Tensor | None,
    weighting: str,
    condition: Tensor | None = None,
) -> Tensor:
    """The weighted squared error of the clean image, `Denoiser.loss`."""
    return denoiser.loss(x, sigma, noise, labels, weighting, condition)


OBJECTIVES: dict[str, Objective] = {"denoising": denoising, "consistency": consistency.loss}
