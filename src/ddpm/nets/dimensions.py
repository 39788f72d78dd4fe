"""Layers by the number of spatial dimensions: 1 for series (B, C, L), 2 for images (B, C, H, W)."""

from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
HALVINGS: dict[int, type[nn.AvgPool1d] | type[nn.AvgPool2d]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d}
"""Averages of two neighbours along each dimension, with size 2."""


def unshuffle(x: Tensor, patch: int) -> Tensor:
    """Fold blocks of `patch` positions along each dimension into channels; the first follows the channel's own order.

    x (B, C, L) or (B, C, H, W) to (B, patch^d C, ...), with sides divided by patch.
    """
    if x.ndim == 4:
        return functional.pixel_unshuffle(x, patch)
    batch, channels, length = x.shape
    return x.view(batch, channels, length // patch, patch).transpose(2, 3).reshape(batch, channels * patch, -1)


def shuffle(x: Tensor, patch: int) -> Tensor:
    """Invert `unshuffle`."""
    if x.ndim == 4:
        return functional.pixel_shuffle(x, patch)
    batch, channels, length = x.shape
    return x.view(batch, channels // patch, patch, length).transpose(2, 3).reshape(batch, channels // patch, -1)


def per_position(value: Tensor, like: Tensor) -> Tensor:
    """(B, C) as (B, C, 1, ...), with as many dimensions as `like`."""
    return value[(..., *[None] * (like.ndim - 2))]
