"""Baselines without a model, for comparison. Images are (B, C, H, W) in [-1, 1]."""

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ddpm.diffusion import conditioning

SWEEPS = 1000


def bicubic(observed: Tensor, scale: int) -> Tensor:
    """Enlarge by bicubic interpolation."""
    return conditioning.enlarged(observed, scale)


def median(observed: Tensor) -> Tensor:
    """Filter by the median of 3 x 3 pixels, channel by channel."""
    return torch.from_numpy(ndimage.median_filter(observed.clamp(-1, 1).numpy(), size=(1, 1, 3, 3), mode="nearest"))


def fill(observed: Tensor, known: Tensor) -> Tensor:
    """Fill unknown pixels smoothly, each with the mean of its four neighbours; known: (H, W) bool.

    Solves Laplace's equation by SWEEPS Jacobi iterations from the nearest known pixels.
    """
    _, (row, column) = ndimage.distance_transform_edt(~known.numpy(), return_indices=True)
    filled = observed[:, :, torch.from_numpy(row).long(), torch.from_numpy(column).long()]
    for _ in range(SWEEPS):
        around = functional.pad(filled, (1, 1, 1, 1), mode="replicate")
        mean = (
            around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
        ) / 4  # fmt: skip
        filled = torch.where(known, observed, mean)
    return filled


def grey(observed: Tensor) -> Tensor:
    """Repeat the grey channel three times."""
    return observed.expand(-1, 3, -1, -1)
