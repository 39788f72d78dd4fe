"""The variational bound of a DDPM, term by term, in sigma coordinates and in nats per dimension.

A step of the reverse chain goes from `sigma` to the next lower level `lower`. Its posterior is
`q(y_lower | y, x0) = N(x0 + (lower/sigma)^2 (y - x0), lower^2 (1 - lower^2/sigma^2))` (Ho et al. 2020, equation 7).
"""

import math

import torch
from torch import Tensor

HALF_BIN = 1 / 255
"""Half the distance of two neighbouring uint8 levels in [-1, 1]."""


def log_variances(sigma: Tensor, lower: Tensor, smallest: Tensor | float) -> tuple[Tensor, Tensor]:
    """Logarithms of the small and the large variance of a step (Ho et al. 2020, section 3.2), shaped like sigma.

    The small one is 0 on the last step, where lower = 0; `smallest` stands for it there (Nichol and Dhariwal 2021,
    section 3.1: that of the step before).
    """
    small = lower**2 * (1 - (lower / sigma) ** 2)
    large = (sigma**2 - lower**2) * (1 + lower**2) / (1 + sigma**2)
    return torch.where(lower > 0, small, smallest).log(), large.log()


def smallest_variance(sigmas: Tensor) -> Tensor:
    """The small variance of the step before the last, of an ascending table of levels, in units of the image."""
    if len(sigmas) == 1:
        return sigmas[0] ** 2 / (1 + sigmas[0] ** 2)  # one step only: its large variance
    lower, sigma = sigmas[0], sigmas[1]
    return lower**2 * (1 - (lower / sigma) ** 2) / (1 + lower**2)


def interpolated(fraction: Tensor, small: Tensor, large: Tensor) -> Tensor:
    """Log of a learned variance, `fraction` of the way between two logs (Nichol and Dhariwal 2021, equation 15)."""
    return small + fraction * (large - small)


def step_divergence(error: Tensor, log_true: Tensor, log_model: Tensor) -> Tensor:
    """KL(q || p) of two Gaussians whose means differ by `error`, elementwise, in nats."""
    return 0.5 * (log_model - log_true + torch.exp(log_true - log_model) - 1 + error**2 * torch.exp(-log_model))


def decoder_nll(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log of the mass that N(mean, variance) gives to the uint8 bin of x (Ho et al. 2020, equation 13), elementwise.

    x in [-1, 1], on uint8 levels; the first and the last bin reach to infinity.
    """
    inverse_std = torch.exp(-0.5 * log_variance)
    above = torch.special.ndtr(inverse_std * (x - mean + HALF_BIN))
    below = torch.special.ndtr(inverse_std * (x - mean - HALF_BIN))
    above = torch.where(x > 1 - HALF_BIN, torch.ones_like(above), above)
    below = torch.where(x < -1 + HALF_BIN, torch.zeros_like(below), below)
    return -(above - below).clamp(min=1e-12).log()


def step_terms(x: Tensor, estimate: Tensor, fraction: Tensor, sigma: Tensor, sigmas: Tensor) -> Tensor:
    """The bound's term of the step from `sigma`, with learned variance: (B,) nats per dimension.

    x, estimate, fraction (B, C, H, W): the image, the denoiser's estimate of it, and where between the two variances
    the model's lies; sigma (B,) of the ascending table `sigmas`.
    """
    index = torch.searchsorted(sigmas, sigma)
    lower = torch.where(index > 0, sigmas[(index - 1).clamp(min=0)], 0.0)
    shape = (-1, *[1] * (x.ndim - 1))
    small, large = (each.view(shape) for each in log_variances(sigma, lower, smallest_variance(sigmas)))
    model = interpolated(fraction.double(), small, large)
    error = (1 - (lower / sigma) ** 2).view(shape) * (x.double() - estimate.double())
    divergence = step_divergence(error, small, model)
    first = decoder_nll(x.double(), estimate.double(), model)
    terms = torch.where((lower > 0).view(shape), divergence, first)
    return terms.flatten(1).mean(1)


def in_bits(nats: Tensor) -> Tensor:
    """Nats as bits."""
    return nats / math.log(2)
