"""Between pictures and numbers: uint8 (B, H, W, C) and float32 (B, C, H, W) in [-1, 1]."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class NotFiniteError(ValueError):
    """An estimate or an image holds NaN or infinity; the message says of which model and where."""


def to_tensor(images: Tensor) -> Tensor:
    """uint8 (B, H, W, C) to float32 (B, C, H, W) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def within_range(x0: Tensor) -> Tensor:
    """Clip estimates to [-1, 1], the range of images."""
    return x0.clamp(-1, 1)


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """[-1, 1] (B, C, H, W) to uint8 (B, H, W, C), rounded to the nearest level.

    Raises NotFiniteError for NaN, which would become black, and for infinity.
    """
    if not images.isfinite().all():
        raise NotFiniteError("an image holds NaN or infinity, so there is nothing to show")
    rounded: NDArray[np.uint8] = (
        ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    )
    return rounded
