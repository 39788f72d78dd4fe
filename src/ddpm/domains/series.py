"""Windows of series: stored as float32 (N, L, C) in the units of the data, seen by the network standardised."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion.pixels import NotFiniteError
from ddpm.domains.domain import Domain, Scale


def domain(length: int, channels: int, scale: Scale) -> Domain:
    """Return the domain of windows of `length` rows; scale: mean and deviation of each channel over the training split.

    Raises ValueError for a scale of another number of channels.
    """
    if (len(scale.mean), len(scale.std)) != (channels, channels):
        raise ValueError(f"{channels} channels need as many means and deviations, not {scale}")
    mean, std = (torch.tensor(each, dtype=torch.float32).view(1, -1, 1) for each in (scale.mean, scale.std))

    def encode(stored: Tensor) -> Tensor:
        return (stored.transpose(1, 2).float() - mean.to(stored.device)) / std.to(stored.device)

    def decode(x: Tensor) -> NDArray[Any]:
        if not x.isfinite().all():
            raise NotFiniteError("a series holds NaN or infinity, so there is nothing to keep")
        found: NDArray[Any] = (x.float() * std.to(x.device) + mean.to(x.device)).transpose(1, 2).cpu().numpy()
        return found

    return Domain((channels, length), (length, channels), np.float32, encode, decode, lambda x0: x0)
