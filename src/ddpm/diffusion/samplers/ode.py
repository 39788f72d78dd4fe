"""Samplers that follow the probability flow `dy/dsigma = (y - D(y, sigma)) / sigma` (Karras et al. 2022, equation 1).

Some add fresh noise on the way (churn), which the flow then removes.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion.samplers.base import Callback, Denoise, Noise, no_callback

MOST_CHURN = math.sqrt(2) - 1  # keeps a step from adding more noise than is present (Karras et al. 2022, section 4)


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
    callback: Callback = no_callback,
) -> Tensor:
    """Euler steps along the flow, order 1. Without churn it equals `ddim` with eta 0."""
    values: list[float] = sigmas.tolist()
    gamma = _churned(values, churn, churn_min, churn_max)
    for i, (sigma, lower) in enumerate(pairwise(values)):
        y, sigma_hat = _add_churn(y, sigma, gamma[i], churn_noise, noise, i)
        x0 = denoise(y, sigma_hat)
        callback(i, y, x0)
        y = x0 + lower / sigma_hat * (y - x0)
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
    callback: Callback = no_callback,
) -> Tensor:
    """Karras et al. 2022, algorithm 2: order 2, with two evaluations per step (one on the last).

    churn, churn_min, churn_max (None: no limit) and churn_noise are S_churn, S_tmin, S_tmax and S_noise there.
    """
    values: list[float] = sigmas.tolist()
    gamma = _churned(values, churn, churn_min, churn_max)
    for i, (sigma, lower) in enumerate(pairwise(values)):
        y, sigma_hat = _add_churn(y, sigma, gamma[i], churn_noise, noise, i)
        x0 = denoise(y, sigma_hat)
        callback(i, y, x0)
        slope = (y - x0) / sigma_hat
        y_next = y + (lower - sigma_hat) * slope
        if lower > 0:
            slope = (slope + (y_next - denoise(y_next, lower)) / lower) / 2
            y_next = y + (lower - sigma_hat) * slope
        y = y_next
    return y


def _churned(sigmas: list[float], churn: float, least: float, most: float | None) -> list[float]:
    """The relative increase of each sigma by churn (gamma in Karras et al. 2022, algorithm 2)."""
    gamma = min(churn / (len(sigmas) - 1), MOST_CHURN)
    return [gamma if least <= sigma <= (math.inf if most is None else most) else 0.0 for sigma in sigmas]


def _add_churn(y: Tensor, sigma: float, gamma: float, scale: float, noise: Noise, i: int) -> tuple[Tensor, float]:
    """Add noise to y up to `sigma_hat = sigma * (1 + gamma)`; return both."""
    if gamma == 0:
        return y, sigma
    sigma_hat = sigma * (1 + gamma)
    return y + math.sqrt(sigma_hat**2 - sigma**2) * scale * noise(i), sigma_hat


def dpm_solver_pp(
    denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, callback: Callback = no_callback
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), deterministic; the first and the last step are of order 1.

    In sigma coordinates alpha = 1 and lambda = -log sigma, so that the step is an interpolation towards an x0
    extrapolated from the last two estimates.
    """
    values = sigmas.tolist()
    previous: Tensor | None = None
    for i, (sigma, lower) in enumerate(pairwise(values)):
        x0 = denoise(y, sigma)
        callback(i, y, x0)
        x0_mid = _extrapolated(x0, previous, values, i)
        y = x0_mid + lower / sigma * (y - x0_mid)
        previous = x0
    return y


def dpm_solver_pp_sde(
    denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, callback: Callback = no_callback
) -> Tensor:
    """SDE-DPM-Solver++(2M) (Lu et al. 2022b): the ancestral step, towards the x0 of `dpm_solver_pp`."""
    values = sigmas.tolist()
    previous: Tensor | None = None
    for i, (sigma, lower) in enumerate(pairwise(values)):
        x0 = denoise(y, sigma)
        callback(i, y, x0)
        x0_mid = _extrapolated(x0, previous, values, i)
        y = x0_mid + (lower / sigma) ** 2 * (y - x0_mid)
        if lower > 0:
            y = y + lower * math.sqrt(1 - (lower / sigma) ** 2) * noise(i)
        previous = x0
    return y


def _extrapolated(x0: Tensor, previous: Tensor | None, sigmas: list[float], i: int) -> Tensor:
    """x0 in the middle of step i, linear in log(sigma) through the last two estimates."""
    if previous is None or sigmas[i + 1] == 0:
        return x0
    ratio = math.log(sigmas[i - 1] / sigmas[i]) / math.log(sigmas[i] / sigmas[i + 1])
    return x0 + (x0 - previous) / (2 * ratio)


def ode(
    denoise: Denoise,
    y: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    tolerance: float = 1e-4,
    callback: Callback = no_callback,
) -> Tensor:
    """The flow from the first level to the last above 0 in steps that adapt (RK45), then one step to 0.

    The step size depends on all images of a batch: pass one at a time if none may depend on the others. The sigmas in
    between are only where `callback` is called. tolerance: relative and absolute, of x = y / sqrt(1 + sigma^2).
    Raises ArithmeticError if the solver fails.
    """
    positive = sigmas[:-1].tolist()
    path = solved(denoise, y, positive, tolerance) if len(positive) > 1 else [y]
    if callback is not no_callback:
        for i, (at, sigma) in enumerate(zip(path, positive, strict=True)):
            callback(i, at, denoise(at, sigma))
    return denoise(path[-1], positive[-1])


def solved(denoise: Denoise, y: Tensor, sigmas: list[float], tolerance: float) -> list[Tensor]:
    """Solve the flow from y at `sigmas[0]`; return y at each of the sigmas.

    In x = y / q, with q = sqrt(1 + sigma^2), and log(sigma) it is `dx = (x - q D(q x, sigma)) / q^2`,
    bounded at every sigma.
    """
    from scipy.integrate import solve_ivp  # half a second, which the other samplers need not wait for

    def slope(log_sigma: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
        sigma = math.exp(log_sigma)
        q = math.hypot(1, sigma)
        estimate = denoise(torch.from_numpy(q * x).to(y).view(y.shape), sigma)
        return np.asarray((x - q * flat(estimate)) / q**2)

    times = np.log(sigmas)
    start = flat(y) / math.hypot(1, sigmas[0])
    end = solve_ivp(slope, (times[0], times[-1]), start, t_eval=times, rtol=tolerance, atol=tolerance)
    if not end.success:
        raise ArithmeticError(f"the flow could not be solved to the tolerance {tolerance}: {end.message}")
    path = torch.from_numpy(end.y.T * np.hypot(1, sigmas)[:, None])
    return [at.to(y).view(y.shape) for at in path]


def flat(images: Tensor) -> NDArray[np.float64]:
    """All values as one vector for scipy."""
    return images.detach().double().cpu().numpy().ravel()
