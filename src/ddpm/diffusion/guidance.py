"""Guidance: wrappers of `denoise` that move the estimate of x0 away from that of a worse model.

The worse model is the same one without the label (`classifier_free`), or a weaker one (`autoguided`). The sampler stays
the same.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from ddpm.diffusion.pixels import NotFiniteError, within_range
from ddpm.diffusion.samplers.table import Denoise

Model = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def with_labels(model: Model, labels: Tensor | None) -> Denoise:
    """Make `denoise(y, sigma)` from a model with fixed labels (B,), or from an unlabelled model."""

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return model(y, torch.full((len(y),), sigma, dtype=torch.float64, device=y.device), labels)

    return denoise


def classifier_free(model: Model, labels: Tensor, null: int, scale: float, rescale: float = 0.0) -> Denoise:
    """Ho and Salimans 2022, equation 6, for x0: `D(no label) + scale * (D(label) - D(no label))`.

    `null` is the label that means "no class". Scale 1 is the conditional model, 0 the unconditional one. Both halves go
    through the network as one batch. rescale: as in `apply_guidance`.
    """
    both = torch.cat([labels, torch.full_like(labels, null)])
    denoise_both = with_labels(model, both)

    def denoise(y: Tensor, sigma: float) -> Tensor:
        given, none = denoise_both(torch.cat([y, y]), sigma).chunk(2)
        return apply_guidance(given, none, scale, rescale)

    return denoise


def autoguided(strong: Denoise, weak: Denoise, scale: float, rescale: float = 0.0) -> Denoise:
    """Karras et al. 2024 ("a bad version of itself"), for x0: `weak + scale * (strong - weak)`.

    Both are given the same label, so that guidance removes errors of the weak model, not diversity of the class.
    """

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return apply_guidance(strong(y, sigma), weak(y, sigma), scale, rescale)

    return denoise


def apply_guidance(good: Tensor, bad: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """`bad + scale * (good - bad)` of two estimates of x0 (B, C, H, W), then rescaled towards the contrast of `good`.

    rescale: 0 (not at all) to 1 (fully), image by image (Lin et al. 2024, section 3.4, equations 14 to 16).

    The contrast is that of x0, whatever the network predicts: at the largest sigma, where over-exposure begins, the v
    that Lin et al. rescale is -x0. Of eps it would do nothing there: eps is y / sigma with or without guidance.
    """
    guided = bad + scale * (good - bad)
    if rescale == 0:
        return guided
    pixels = tuple(range(1, good.ndim))
    contrast = good.std(pixels, keepdim=True) / guided.std(pixels, keepdim=True)
    return guided * (rescale * contrast + 1 - rescale)


def guidance_interval(low: float, high: float, inside: Denoise, outside: Denoise) -> Denoise:
    """Limit guidance to an interval (Kynkaanniemi et al. 2024): `inside` for sigma in [low, high], else `outside`.

    With the conditional model alone as `outside`, a step outside of the interval costs one evaluation.
    """

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return inside(y, sigma) if low <= sigma <= high else outside(y, sigma)

    return denoise


def require_finite(denoise: Denoise, source: str) -> Denoise:
    """Refuse an estimate with NaN or infinity, before clipping hides it. source: model and sampler, for the message.

    Raises NotFiniteError that names them, sigma, and the number of the evaluation.
    """
    calls = itertools.count(1)

    def checked(y: Tensor, sigma: float) -> Tensor:
        estimate, call = denoise(y, sigma), next(calls)
        if not estimate.isfinite().all():
            share = 1 - estimate.isfinite().double().mean().item()
            raise NotFiniteError(
                f"{source}: evaluation {call} of this batch, at sigma = {sigma:.4g}, is not finite in {share:.0%} of "
                "its values. The weights are broken, or guidance without clamping is too strong for them"
            )
        return estimate

    return checked


def clip_x0(denoise: Denoise, nearest: Callable[[Tensor], Tensor] = within_range) -> Denoise:
    """Replace the estimate by the `nearest` possible values, by default in [-1, 1], the range of images."""

    def inside(y: Tensor, sigma: float) -> Tensor:
        return nearest(denoise(y, sigma))

    return inside
