"""Samplers: plain functions of (denoise, y, sigmas, noise).

denoise(y, sigma) -> x0 estimate; y (B, C, H, W) = `sigmas[0]` of noise; sigmas (n + 1,) float64, descending, the last
0; noise(i) -> standard normal like y for step i. Each is a generator-free loop of n evaluations and returns
(B, C, H, W). `watch(i, y, x0)` sees every step.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
Noise = Callable[[int], Tensor]
Watch = Callable[[int, Tensor, Tensor], None]


def unwatched(step: int, y: Tensor, x0: Tensor) -> None:
    """Watch nothing."""


def small_variance(sigma: float, lower: float) -> float:
    """Standard deviation of the noise that an ancestral step adds: the posterior's (Ho et al. 2020, equation 7)."""
    return lower * math.sqrt(1 - (lower / sigma) ** 2)


def large_variance(sigma: float, lower: float) -> float:
    """The same with `beta_t` as the variance (Ho et al. 2020, section 3.2, first choice); none on the last step."""
    if lower == 0:
        return 0.0
    return math.sqrt((sigma**2 - lower**2) * (1 + lower**2) / (1 + sigma**2))


VARIANCES: dict[str, Callable[[float, float], float]] = {"small": small_variance, "large": large_variance}


def ddpm(
    denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, variance: str = "small", watch: Watch = unwatched
) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, algorithm 2). The mean of a step is `x0 + (s2/s1)^2 (y - x0)`."""
    levels = sigmas.tolist()
    for i, (sigma, lower) in enumerate(pairwise(levels)):
        x0 = denoise(y, sigma)
        watch(i, y, x0)
        y = x0 + (lower / sigma) ** 2 * (y - x0)
        up = VARIANCES[variance](sigma, lower)
        if up > 0:
            y = y + up * noise(i)
    return y


def ddim(
    denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, eta: float = 0.0, watch: Watch = unwatched
) -> Tensor:
    """Song et al. 2020, equation 12. eta 0: deterministic; eta 1: `ddpm` with the small variance."""
    levels = sigmas.tolist()
    for i, (sigma, lower) in enumerate(pairwise(levels)):
        x0 = denoise(y, sigma)
        watch(i, y, x0)
        up = eta * small_variance(sigma, lower)
        y = x0 + math.sqrt(lower**2 - up**2) / sigma * (y - x0)
        if up > 0:
            y = y + up * noise(i)
    return y


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
        ahead = x0
        if previous is not None and lower > 0:
            ratio = math.log(levels[i - 1] / sigma) / math.log(sigma / lower)
            ahead = x0 + (x0 - previous) / (2 * ratio)
        y = ahead + lower / sigma * (y - ahead)
        previous = x0
    return y


SAMPLERS: dict[str, Callable[..., Tensor]] = {"ddpm": ddpm, "ddim": ddim, "dpm-solver++": dpm_solver_pp}
