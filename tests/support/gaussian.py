"""A Gaussian whose denoiser is known exactly."""

import math

import torch
from torch import Tensor

MEAN, SPREAD = 0.3, 0.4


HIGH, LOW = 20.0, 0.02


def exact(y: Tensor, sigma: float, mean: float = MEAN, spread: float = SPREAD) -> Tensor:
    """E[x0 | y] for x0 ~ N(mean, spread^2): linear in y."""
    return (spread**2 * y + sigma**2 * mean) / (spread**2 + sigma**2)


def geometric(count: int) -> Tensor:
    """Levels that end above 0: what is measured is the solver, without the last jump."""
    return torch.logspace(math.log10(HIGH), math.log10(LOW), count + 1, dtype=torch.float64)
