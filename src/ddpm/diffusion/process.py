"""Forward processes: their noise levels, the distribution of levels in training, and the network's time input.

Every process here is `x_t = s_t (x_0 + sigma_t eps)` (Karras et al. 2022, equation 4 with the scale taken out), and
`y = x_t / s_t` is a random walk: `y_t - y_s ~ N(0, sigma_t^2 - sigma_s^2)`. So one family of samplers serves them all,
and a process is defined by its levels.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ddpm.diffusion import schedule as schedules

TIMES = 999.0
"""The network's clock runs from 0 to this where t is continuous, as it does for a table of 1000 steps."""
FIRST_TIME = 1e-3
"""Where sampling of a VP process or a flow ends, in t (Song et al. 2021, appendix C: the score is unstable below)."""
FIRST_TRAINED = 1e-5
"""Where training of a VP process or a flow begins, in t (Song et al. 2021, appendix C)."""


@dataclass(frozen=True)
class Process:
    """A forward process in sigma coordinates.

    sigmas: (T,) float64, ascending: the levels available to samplers. draw(u): levels (B,) float64 for training, from u
    (B,) float64, uniform in [0, 1). time(sigma): the time input of the network, (B,) float32. prior: standard deviation
    of y where sampling starts.
    """

    sigmas: Tensor
    draw: Callable[[Tensor], Tensor]
    time: Callable[[Tensor], Tensor]
    prior: float


def ddpm(steps: int, schedule: str, beta_start: float, beta_end: float) -> Process:
    """The chain of a named schedule of betas. Raises KeyError for an unknown name."""
    return chain(schedules.betas(schedule, steps, beta_start, beta_end))


def chain(betas: Tensor) -> Process:
    """A chain of T steps (Ho et al. 2020, equation 2) with betas (T,), trained on its T levels; time is the index.

    Between two levels the index is interpolated in log(sigma). Raises ValueError where abar reaches 0.
    """
    sigmas = schedules.sigmas(betas)
    last = len(sigmas) - 1
    table_on = functools.cache(sigmas.to)  # copied to a device once: a copy in every pass would wait for it

    def draw(u: Tensor) -> Tensor:
        return sigmas[(u * len(sigmas)).long().clamp(max=last)]

    def time(sigma: Tensor) -> Tensor:
        if last == 0:
            return torch.zeros_like(sigma, dtype=torch.float32)
        table = table_on(sigma.device)
        above = torch.searchsorted(table, sigma.double().contiguous()).clamp(1, last)
        low, high = table[above - 1], table[above]
        fraction = ((sigma.double() / low).log() / (high / low).log()).clamp(0, 1)
        return (above - 1 + torch.where(sigma == high, 1.0, fraction)).float()

    return Process(sigmas, draw, time, (1 + sigmas[-1] ** 2).sqrt().item())


def vp_sde(steps: int, beta_min: float, beta_max: float) -> Process:
    """Variance-preserving SDE (Song et al. 2021, equations 11 and 32): DDPM's limit of many steps with linear betas.

    With `B(t) = beta_min t + (beta_max - beta_min) t^2 / 2`, `sigma^2 = exp(B) - 1`.
    """

    def sigma_at(t: Tensor) -> Tensor:
        return _integral(t, beta_min, beta_max).expm1().sqrt()

    def time(sigma: Tensor) -> Tensor:
        return (TIMES * _inverse((sigma.double() ** 2).log1p(), beta_min, beta_max)).float()

    def draw(u: Tensor) -> Tensor:
        return sigma_at(FIRST_TRAINED + u * (1 - FIRST_TRAINED))

    sigmas = sigma_at(_grid(FIRST_TIME, 1.0, steps))
    return Process(sigmas, draw, time, (1 + sigmas[-1] ** 2).sqrt().item())


def sub_vp_sde(steps: int, beta_min: float, beta_max: float) -> Process:
    """Sub-VP SDE (Song et al. 2021, equations 12 and 29).

    `s = exp(-B / 2)` as for the VP-SDE, and `sigma = (1 - s^2) / s = 2 sinh(B / 2)`.
    """

    def sigma_at(t: Tensor) -> Tensor:
        return 2 * torch.sinh(_integral(t, beta_min, beta_max) / 2)

    def time(sigma: Tensor) -> Tensor:
        return (TIMES * _inverse(2 * torch.asinh(sigma.double() / 2), beta_min, beta_max)).float()

    def draw(u: Tensor) -> Tensor:
        return sigma_at(FIRST_TRAINED + u * (1 - FIRST_TRAINED))

    sigmas = sigma_at(_grid(FIRST_TIME, 1.0, steps))
    scale = math.exp(-(beta_min + beta_max) / 4)  # s at t = 1, where B is the mean of the two betas
    return Process(sigmas, draw, time, 1 / scale)


def ve_sde(steps: int, sigma_min: float, sigma_max: float) -> Process:
    """Variance-exploding SDE (Song et al. 2021, equation 30): levels rise geometrically, s = 1.

    The network's clock is even in log(sigma).
    """
    ratio = math.log(sigma_max / sigma_min)

    def draw(u: Tensor) -> Tensor:
        return sigma_min * (ratio * u).exp()

    def time(sigma: Tensor) -> Tensor:
        return (TIMES / ratio * (sigma.double() / sigma_min).log()).float()

    return Process(draw(_grid(0.0, 1.0, steps)), draw, time, sigma_max)


def edm(steps: int, sigma_min: float, sigma_max: float, p_mean: float, p_std: float) -> Process:
    """Karras et al. 2022, table 1: s = 1, levels spaced with rho = 7, `log(sigma) ~ N(p_mean, p_std^2)` in training.

    The time input is `250 log(sigma)`: the paper's `log(sigma) / 4`, times 1000, since the sinusoids cover times up to
    about a thousand.
    """
    rho = 7

    def draw(u: Tensor) -> Tensor:
        normal: Tensor = torch.special.ndtri(u.clamp(1e-7, 1 - 1e-7))
        return (p_mean + p_std * normal).exp()

    def time(sigma: Tensor) -> Tensor:
        return (250 * sigma.double().log()).float()

    roots = _grid(sigma_min ** (1 / rho), sigma_max ** (1 / rho), steps)
    sigmas: Tensor = roots**rho
    return Process(sigmas, draw, time, sigma_max)


def flow(steps: int) -> Process:
    """Rectified flow (Liu et al. 2023, equation 1): `x_t = (1 - t) x_0 + t eps`, so `sigma = t / (1 - t)`, s = 1 - t.

    Levels of samplers lie evenly in t, FIRST_TIME from either end, where sigma is 0 and infinite; t is uniform in
    training, FIRST_TRAINED from either end.
    """

    def sigma_at(t: Tensor) -> Tensor:
        return t / (1 - t)

    def draw(u: Tensor) -> Tensor:
        return sigma_at(FIRST_TRAINED + u * (1 - 2 * FIRST_TRAINED))

    def time(sigma: Tensor) -> Tensor:
        sigma = sigma.double()
        return (TIMES * sigma / (1 + sigma)).float()

    sigmas = sigma_at(_grid(FIRST_TIME, 1 - FIRST_TIME, steps))
    return Process(sigmas, draw, time, (1 + sigmas[-1] ** 2).sqrt().item())


PROCESSES: dict[str, tuple[Callable[..., Process], tuple[str, ...]]] = {
    # name: its function, and the parameters that it takes
    "ddpm": (ddpm, ("steps", "schedule", "beta_start", "beta_end")),
    "vp-sde": (vp_sde, ("steps", "beta_min", "beta_max")),
    "sub-vp-sde": (sub_vp_sde, ("steps", "beta_min", "beta_max")),
    "ve-sde": (ve_sde, ("steps", "sigma_min", "sigma_max")),
    "edm": (edm, ("steps", "sigma_min", "sigma_max", "p_mean", "p_std")),
    "flow": (flow, ("steps",)),
}


def midpoints(process: Process, count: int) -> Tensor:
    """Compute sigmas (count,), float64, ascending: quantiles (i + 1/2) / count of the training distribution."""
    return process.draw((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def _integral(t: Tensor, beta_min: float, beta_max: float) -> Tensor:
    """B(t), the integral of `beta_min + t (beta_max - beta_min)` from 0 to t."""
    return beta_min * t + (beta_max - beta_min) * t**2 / 2


def _inverse(integral: Tensor, beta_min: float, beta_max: float) -> Tensor:
    """The t of a B(t)."""
    return 2 * integral / (beta_min + (beta_min**2 + 2 * (beta_max - beta_min) * integral).sqrt())


def _grid(first: float, last: float, steps: int) -> Tensor:
    """`steps` points from first to last, the last alone if there is one."""
    return torch.linspace(last if steps == 1 else first, last, steps, dtype=torch.float64)
