"""Samplers that follow the probability flow `dy/dsigma = (y - D(y, sigma)) / sigma` (Karras et al. 2022, equation 1).

Some stir in fresh noise on the way, which the flow then takes out again.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from ddpm.diffusion.samplers.base import Denoise, Noise, Watch, unwatched

MOST_CHURN = math.sqrt(2) - 1  # more noise than that would be added than is there (Karras et al. 2022, section 4)


def euler(
    denoise: Denoise,
    y: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float | None = None,
    churn_noise: float = 1.0,
    watch: Watch = unwatched,
) -> Tensor:
    """Straight steps along the flow: order 1. Without churn it is `ddim` with eta 0."""
    levels = sigmas.tolist()
    share = _churned(levels, churn, churn_min, churn_max)
    for i, (sigma, lower) in enumerate(pairwise(levels)):
        y, raised = _stirred(y, sigma, share[i], churn_noise, noise, i)
        x0 = denoise(y, raised)
        watch(i, y, x0)
        y = x0 + lower / raised * (y - x0)
    return y


def heun(
    denoise: Denoise,
    y: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float | None = None,
    churn_noise: float = 1.0,
    watch: Watch = unwatched,
) -> Tensor:
    """Karras et al. 2022, algorithm 2: order 2, with two evaluations per step (one on the last).

    churn, churn_min, churn_max (None: no limit) and churn_noise are S_churn, S_tmin, S_tmax and S_noise there.
    """
    levels = sigmas.tolist()
    share = _churned(levels, churn, churn_min, churn_max)
    for i, (sigma, lower) in enumerate(pairwise(levels)):
        y, raised = _stirred(y, sigma, share[i], churn_noise, noise, i)
        x0 = denoise(y, raised)
        watch(i, y, x0)
        slope = (y - x0) / raised
        ahead = y + (lower - raised) * slope
        if lower > 0:
            slope = (slope + (ahead - denoise(ahead, lower)) / lower) / 2
            ahead = y + (lower - raised) * slope
        y = ahead
    return y


def _churned(levels: list[float], churn: float, least: float, most: float | None) -> list[float]:
    """By what share each level is raised (gamma in Karras et al. 2022, algorithm 2)."""
    share = min(churn / (len(levels) - 1), MOST_CHURN)
    return [share if least <= sigma <= (math.inf if most is None else most) else 0.0 for sigma in levels]


def _stirred(y: Tensor, sigma: float, share: float, scale: float, noise: Noise, i: int) -> tuple[Tensor, float]:
    """y with noise added up to the level `sigma * (1 + share)`, and that level."""
    if share == 0:
        return y, sigma
    raised = sigma * (1 + share)
    return y + math.sqrt(raised**2 - sigma**2) * scale * noise(i), raised


def dpm_solver_pp(denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, watch: Watch = unwatched) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), deterministic; the first and the last step are of order 1.

    In sigma coordinates alpha = 1 and lambda = -log sigma, so that the step is an interpolation towards an x0
    extrapolated from the last two estimates.
    """
    levels = sigmas.tolist()
    previous: Tensor | None = None
    for i, (sigma, lower) in enumerate(pairwise(levels)):
        x0 = denoise(y, sigma)
        watch(i, y, x0)
        ahead = _extrapolated(x0, previous, levels, i)
        y = ahead + lower / sigma * (y - ahead)
        previous = x0
    return y


def dpm_solver_pp_sde(denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, watch: Watch = unwatched) -> Tensor:
    """SDE-DPM-Solver++(2M) (Lu et al. 2022b): the ancestral step, towards the x0 of `dpm_solver_pp`."""
    levels = sigmas.tolist()
    previous: Tensor | None = None
    for i, (sigma, lower) in enumerate(pairwise(levels)):
        x0 = denoise(y, sigma)
        watch(i, y, x0)
        ahead = _extrapolated(x0, previous, levels, i)
        y = ahead + (lower / sigma) ** 2 * (y - ahead)
        if lower > 0:
            y = y + lower * math.sqrt(1 - (lower / sigma) ** 2) * noise(i)
        previous = x0
    return y


def _extrapolated(x0: Tensor, previous: Tensor | None, levels: list[float], i: int) -> Tensor:
    """x0 in the middle of step i, linear in log(sigma) through the last two estimates."""
    if previous is None or levels[i + 1] == 0:
        return x0
    ratio = math.log(levels[i - 1] / levels[i]) / math.log(levels[i] / levels[i + 1])
    return x0 + (x0 - previous) / (2 * ratio)


def ode(
    denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, tolerance: float = 1e-4, watch: Watch = unwatched
) -> Tensor:
    """The flow from the first level to the last above 0 in steps that adapt (RK45), then one step to 0.

    The steps suit all images that are given together: give one at a time where none may depend on the others. The
    levels between are only where `watch` looks. tolerance: relative and absolute, of x = y / sqrt(1 + sigma^2).
    Raises ArithmeticError where the solver fails.
    """
    levels = sigmas[:-1].tolist()
    ways = solved(denoise, y, levels, tolerance) if len(levels) > 1 else [y]
    if watch is not unwatched:
        for i, (way, sigma) in enumerate(zip(ways, levels, strict=True)):
            watch(i, way, denoise(way, sigma))
    return denoise(ways[-1], levels[-1])


def solved(denoise: Denoise, y: Tensor, levels: list[float], tolerance: float) -> list[Tensor]:
    """The flow through y at `levels[0]`, at each of the levels.

    In x = y / q, with q = sqrt(1 + sigma^2), and log(sigma) it is `dx = (x - q D(q x, sigma)) / q^2`,
    bounded at every level.
    """

    def slope(log_sigma: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
        sigma = math.exp(log_sigma)
        q = math.hypot(1, sigma)
        estimate = denoise(torch.from_numpy(q * x).to(y).view(y.shape), sigma)
        return np.asarray((x - q * flat(estimate)) / q**2)

    times = np.log(levels)
    start = flat(y) / math.hypot(1, levels[0])
    end = solve_ivp(slope, (times[0], times[-1]), start, t_eval=times, rtol=tolerance, atol=tolerance)
    if not end.success:
        raise ArithmeticError(f"the flow could not be solved to the tolerance {tolerance}: {end.message}")
    ways = torch.from_numpy(end.y.T * np.hypot(1, levels)[:, None])
    return [way.to(y).view(y.shape) for way in ways]


def flat(images: Tensor) -> NDArray[np.float64]:
    """All values as one vector for scipy."""
    return images.detach().double().cpu().numpy().ravel()
