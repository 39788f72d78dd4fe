"""Wrappers of `denoise`: a task changes the estimate of x0, never the sampler.

Guidance pushes the estimate of a model away from that of a worse one: of the same model without the label
(`classifier_free`), or of a weaker model (`autoguided`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ddpm.diffusion.samplers.table import Denoise

Model = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def conditional(model: Model, labels: Tensor | None) -> Denoise:
    """`denoise(y, sigma)` of a model at fixed labels (B,), or of an unlabelled model."""

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return model(y, torch.full((len(y),), sigma, dtype=torch.float64, device=y.device), labels)

    return denoise


def classifier_free(model: Model, labels: Tensor, null: int, scale: float, rescale: float = 0.0) -> Denoise:
    """Ho and Salimans 2022, equation 6, for x0: `D(no label) + scale * (D(label) - D(no label))`.

    `null` is the label that stands for none. Scale 1 is the conditional model, 0 the unconditional one. Both halves go
    through the network as one batch. rescale: as in `pushed`.
    """
    both = torch.cat([labels, torch.full_like(labels, null)])
    denoise_both = conditional(model, both)

    def denoise(y: Tensor, sigma: float) -> Tensor:
        given, none = denoise_both(torch.cat([y, y]), sigma).chunk(2)
        return pushed(given, none, scale, rescale)

    return denoise


def autoguided(strong: Denoise, weak: Denoise, scale: float, rescale: float = 0.0) -> Denoise:
    """Karras et al. 2024 ("a bad version of itself"), for x0: `weak + scale * (strong - weak)`.

    Both know the same label, so that only the weak model's faults are pushed away, not the variety of the class.
    """

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return pushed(strong(y, sigma), weak(y, sigma), scale, rescale)

    return denoise


def pushed(good: Tensor, bad: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """`bad + scale * (good - bad)` of two estimates of x0 (B, C, H, W), then `rescale` (0 to 1) of the way to the
    contrast of `good`, image by image (Lin et al. 2024, section 3.4, equations 14 to 16).

    The contrast is that of x0, whatever the network predicts: at the largest sigma, where over-exposure begins, the v
    that Lin et al. rescale is -x0. Of eps it would do nothing there: eps is y / sigma with or without guidance.
    """
    guided = bad + scale * (good - bad)
    if rescale == 0:
        return guided
    pixels = tuple(range(1, good.ndim))
    contrast = good.std(pixels, keepdim=True) / guided.std(pixels, keepdim=True)
    return guided * (rescale * contrast + 1 - rescale)


def within(low: float, high: float, inside: Denoise, outside: Denoise) -> Denoise:
    """Guide only where it helps (Kynkaanniemi et al. 2024): `inside` for sigma in [low, high], else
    `outside`, which as the conditional model alone costs one evaluation.
    """

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return inside(y, sigma) if low <= sigma <= high else outside(y, sigma)

    return denoise


def clamped(denoise: Denoise) -> Denoise:
    """Keep the estimate in [-1, 1], where images are."""

    def inside(y: Tensor, sigma: float) -> Tensor:
        return denoise(y, sigma).clamp(-1, 1)

    return inside
