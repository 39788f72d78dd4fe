"""Noise schedules, as tables of T betas or T sigmas, and the choice of sampling steps among them.

A forward process is `q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I)` (Ho et al. 2020, equation 4), with
`abar_t = prod(1 - beta_s)`. In sigma coordinates it is `y = x_0 + sigma_t eps`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

LARGEST_BETA = 0.999  # Nichol and Dhariwal 2021, section 3.2: no single step may destroy all signal


def linear(steps: int, start: float, end: float) -> Tensor:
    """Ho et al. 2020, section 4: betas rise linearly. Returns (T,) float64."""
    return torch.linspace(start, end, steps, dtype=torch.float64)


def quadratic(steps: int, start: float, end: float) -> Tensor:
    """Song et al. 2020 (DDIM), appendix D.3: square roots of the betas rise linearly. Returns (T,) float64."""
    return torch.linspace(math.sqrt(start), math.sqrt(end), steps, dtype=torch.float64) ** 2


def sigmoid(steps: int, start: float, end: float) -> Tensor:
    """Betas rise along a sigmoid from -6 to 6 (as in GeoDiff, Xu et al. 2022). Returns (T,) float64."""
    return torch.sigmoid(torch.linspace(-6, 6, steps, dtype=torch.float64)) * (end - start) + start


def cosine(steps: int, start: float, end: float) -> Tensor:
    """Nichol and Dhariwal 2021, equation 17: abar is a squared cosine; `start` and `end` do not apply.

    Returns (T,) float64.
    """
    time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    alpha_bar = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
    return 1 - alpha_bar[1:] / alpha_bar[:-1]


SCHEDULES: dict[str, Callable[[int, float, float], Tensor]] = {
    "linear": linear,
    "scaled-linear": quadratic,  # the name used in latent diffusion
    "cosine": cosine,
    "quadratic": quadratic,
    "sigmoid": sigmoid,
}


def betas(name: str, steps: int, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """Betas of a named schedule, (T,) float64, each in (0, 0.999].

    `start` and `end` are the betas at T = 1000; another T scales them by 1000/T, so that the process as a whole
    destroys the same amount of signal (Nichol and Dhariwal 2021). Raises KeyError for an unknown name.
    """
    scale = 1000 / steps
    return SCHEDULES[name](steps, start * scale, end * scale).clamp(max=LARGEST_BETA)


def sigmas(beta: Tensor) -> Tensor:
    """`sqrt((1 - abar) / abar)` of betas: (T,) float64, ascending.

    Raises ValueError where abar reaches 0: its sigma is infinite, and no model of `y = x0 + sigma eps` can start there.
    """
    log_alpha_bar = torch.log1p(-beta).cumsum(0)
    result = torch.expm1(-log_alpha_bar).sqrt()
    if not torch.isfinite(result).all():
        step = int(torch.isfinite(result).logical_not().nonzero()[0]) + 1
        raise ValueError(
            f"the schedule ends with zero signal (abar = 0 at step {step} of {len(beta)}), where sigma is infinite; "
            "keep every beta below 1"
        )
    return result


def timesteps(spacing: str, sigma: Tensor, count: int) -> Tensor:
    """Choose `count` of the T timesteps for a sampler: (count,) int64, descending, all different.

    sigma: the (T,) ascending table. Raises ValueError if `count` exceeds T, KeyError for an unknown spacing.
    """
    total = len(sigma)
    if not 1 <= count <= total:
        raise ValueError(f"steps = {count}, and this model has T = {total}: use 1 to {total}")
    ascending = SPACINGS[spacing](sigma, count)
    return _distinct(ascending.round().long().clamp(0, total - 1), total).flip(0)


def sampling_sigmas(spacing: str, sigma: Tensor, count: int) -> Tensor:
    """The sigmas of `timesteps`, and 0 after the last: (count + 1,), descending."""
    return torch.cat([sigma[timesteps(spacing, sigma, count)], sigma.new_zeros(1)])


def _uniform(sigma: Tensor, count: int) -> Tensor:
    """Evenly from the first step to the last ("linspace" in diffusers)."""
    return torch.linspace(0, len(sigma) - 1, count, dtype=torch.float64) if count > 1 else _last(sigma)


def _trailing(sigma: Tensor, count: int) -> Tensor:
    """Evenly back from the last step, without the first (Lin et al. 2024, table 2)."""
    return torch.arange(1, count + 1, dtype=torch.float64) * (len(sigma) / count) - 1


def _quadratic(sigma: Tensor, count: int) -> Tensor:
    """Denser at little noise (Song et al. 2020, appendix D.3)."""
    root = torch.linspace(0, math.sqrt(len(sigma) - 1), count, dtype=torch.float64)
    return root**2 if count > 1 else _last(sigma)


def _log_snr(sigma: Tensor, count: int) -> Tensor:
    """Evenly in log(sigma), the time of DPM-Solver (Lu et al. 2022, section 3.3)."""
    if count == 1:
        return _last(sigma)
    log_sigma = sigma.log()
    even = torch.linspace(log_sigma[0].item(), log_sigma[-1].item(), count, dtype=torch.float64)
    return _nearest(log_sigma, even)


def _karras(sigma: Tensor, count: int) -> Tensor:
    """Evenly in sigma^(1/7) (Karras et al. 2022, equation 5, rho = 7)."""
    if count == 1:
        return _last(sigma)
    root = sigma ** (1 / 7)
    even = torch.linspace(root[0].item(), root[-1].item(), count, dtype=torch.float64)
    return _nearest(root, even)


def _nearest(table: Tensor, wanted: Tensor) -> Tensor:
    """Indices of the nearest entries of an ascending table."""
    above = torch.searchsorted(table, wanted).clamp(1, len(table) - 1)
    nearer_below = wanted - table[above - 1] < table[above] - wanted
    return torch.where(nearer_below, above - 1, above).double()


def _last(sigma: Tensor) -> Tensor:
    return torch.tensor([len(sigma) - 1.0], dtype=torch.float64)


SPACINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "uniform": _uniform,
    "trailing": _trailing,
    "quadratic": _quadratic,
    "log-snr": _log_snr,
    "karras": _karras,
}


def _distinct(ascending: Tensor, total: int) -> Tensor:
    """Separate equal indices, which rounding may have produced: upwards, then back below `total`."""
    count = len(ascending)
    offsets = torch.arange(count)
    raised = torch.cummax(ascending - offsets, 0).values + offsets
    return torch.minimum(raised, total - count + offsets)
