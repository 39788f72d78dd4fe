"""The named ways of bringing an image to the side that a network takes. Both stretch it to a square.

The values stay floats between resizing and network: they are never rounded a second time (Parmar, Zhang & Zhu 2022).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def to_side(images: Tensor, side: int, policy: str) -> Tensor:
    """Images (B, C, H, W) in 0..255 to float32 (B, C, side, side) in 0..255. Raises KeyError for an unknown policy.

    Images of that side keep their values to the bit under either policy.
    """
    resize = POLICIES[policy]
    return images.float() if images.shape[2:] == (side, side) else resize(images, side)


def clean(images: Tensor, side: int) -> Tensor:
    """Bicubic with antialiasing, clipped to 0..255: Pillow's filter on floats, as in clean-fid."""
    # In float64, because torch rounds the filter's weights otherwise: it would be 0.005 grey levels off Pillow.
    bicubic = F.interpolate(images.double(), size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return bicubic.clamp(0, 255).float()


def legacy(images: Tensor, side: int) -> Tensor:
    """Bilinear of TensorFlow 1: no antialiasing, pixel i taken at i * (old side / side); what published FIDs used."""
    values = images.float()
    top, bottom, down = _neighbours(values.shape[2], side)
    left, right, across = _neighbours(values.shape[3], side)
    upper, lower = values[:, :, top], values[:, :, bottom]
    upper = upper[..., left] + (upper[..., right] - upper[..., left]) * across
    lower = lower[..., left] + (lower[..., right] - lower[..., left]) * across
    return upper + (lower - upper) * down[:, None]


POLICIES: dict[str, Callable[[Tensor, int], Tensor]] = {"clean": clean, "legacy": legacy}


def _neighbours(before: int, after: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each new pixel the old one at or before it, the one after, and how far it lies between them, 0 to 1."""
    place = torch.arange(after, dtype=torch.float32) * torch.tensor(before / after, dtype=torch.float32)
    lower = place.long().clamp_max(before - 1)
    return lower, (lower + 1).clamp_max(before - 1), place - lower
