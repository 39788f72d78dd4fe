"""Conditions: images joined to the network's input as further channels, known when sampling."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Model = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def low_resolution(x: Tensor, scale: int) -> Tensor:
    """The image averaged over `scale` x `scale` pixels, as it looks enlarged again (SR3, Saharia et al. 2021).

    x (B, C, H, W), sides divisible by scale; returns (B, C, H, W).
    """
    return enlarged(functional.avg_pool2d(x, scale), scale)


def enlarged(small: Tensor, scale: int) -> Tensor:
    """A small image at `scale` times its side, bicubic: (B, C, H, W) to (B, C, scale H, scale W)."""
    return functional.interpolate(small, scale_factor=float(scale), mode="bicubic", align_corners=False).clamp(-1, 1)


CONDITIONS: dict[str, int] = {"none": 0, "low-resolution-2": 2, "low-resolution-4": 4}
"""Kinds of condition: by how much the known image is smaller; 0: there is none."""


def conditioned(model: Callable[..., Tensor], condition: Tensor) -> Model:
    """A model `(y, sigma, labels)` with its condition (B, C, H, W) given once; y may hold the batch several times."""

    def given(y: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        return model(y, sigma, labels, condition.repeat(len(y) // len(condition), *[1] * (y.ndim - 1)))

    return given
