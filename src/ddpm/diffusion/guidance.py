"""Wrappers of `denoise`: a task changes the estimate of x0, never the sampler."""

from collections.abc import Callable

import torch
from torch import Tensor

from ddpm.diffusion.samplers import Denoise

Model = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def conditional(model: Model, labels: Tensor | None) -> Denoise:
    """`denoise(y, sigma)` of a model at fixed labels (B,), or of an unlabelled model."""

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return model(y, torch.full((len(y),), sigma, dtype=torch.float64, device=y.device), labels)

    return denoise


def classifier_free(model: Model, labels: Tensor, null: int, scale: float) -> Denoise:
    """Ho and Salimans 2022, equation 6, for x0: `D(no label) + scale * (D(label) - D(no label))`.

    `null` is the label that stands for none. Scale 1 is the conditional model, 0 the unconditional one. Both halves go
    through the network as one batch.
    """
    both = torch.cat([labels, torch.full_like(labels, null)])
    denoise_both = conditional(model, both)

    def denoise(y: Tensor, sigma: float) -> Tensor:
        given, none = denoise_both(torch.cat([y, y]), sigma).chunk(2)
        return none + scale * (given - none)

    return denoise


def clamped(denoise: Denoise) -> Denoise:
    """Keep the estimate in [-1, 1], where images are."""

    def inside(y: Tensor, sigma: float) -> Tensor:
        return denoise(y, sigma).clamp(-1, 1)

    return inside
