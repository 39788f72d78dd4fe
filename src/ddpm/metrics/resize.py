"""Policies for resizing an image to the input side of a network. Both stretch it to a square.

The values stay floats between resizing and network: they are not rounded again (Parmar, Zhang & Zhu 2022).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def to_side(images: Tensor, side: int, policy: str) -> Tensor:
    """Resize images (B, C, H, W) in 0..255 to float32 (B, C, side, side) in 0..255.

    Images of that side keep their exact values under either policy. Raises KeyError for an unknown policy.
    """
    resize = POLICIES[policy]
    return images.float() if images.shape[2:] == (side, side) else resize(images, side)


def clean(images: Tensor, side: int) -> Tensor:
    """Resize by antialiased bicubic interpolation, clipped to 0..255: Pillow's filter on floats, as in clean-fid."""
    # float64, because in float32 torch's filter weights are rounded, and results differ from Pillow's by 0.005 levels.
    bicubic = F.interpolate(images.double(), size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return bicubic.clamp(0, 255).float()


def legacy(images: Tensor, side: int) -> Tensor:
    """Resize by TensorFlow 1's bilinear interpolation, as published FIDs: pixel i is sampled at i * (old side / side).

    No antialiasing.
    """
    values = images.float()
    top, bottom, down = _neighbours(values.shape[2], side)
    left, right, across = _neighbours(values.shape[3], side)
    upper, lower = values[:, :, top], values[:, :, bottom]
    upper = upper[..., left] + (upper[..., right] - upper[..., left]) * across
    lower = lower[..., left] + (lower[..., right] - lower[..., left]) * across
    return upper + (lower - upper) * down[:, None]


POLICIES: dict[str, Callable[[Tensor, int], Tensor]] = {"clean": clean, "legacy": legacy}


def _neighbours(before: int, after: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each new pixel the old ones at or before it and after it, and its position between them, 0 to 1."""
    place = torch.arange(after, dtype=torch.float32) * torch.tensor(before / after, dtype=torch.float32)
    lower = place.long().clamp_max(before - 1)
    return lower, (lower + 1).clamp_max(before - 1), place - lower
