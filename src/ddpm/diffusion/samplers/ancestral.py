"""Ancestral samplers: every step draws from a model of q(y_lower | y_sigma).

All share the mean `x0 + (lower/sigma)^2 (y - x0)` (Ho et al. 2020, equation 7, in sigma coordinates) and differ in the
noise that is added.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ddpm.diffusion.samplers.base import Callback, Denoise, Noise, no_callback


def small_variance(sigma: float, lower: float) -> float:
    """Standard deviation of the noise that an ancestral step adds: the posterior's (Ho et al. 2020, equation 7)."""
    return lower * math.sqrt(1 - (lower / sigma) ** 2)


def large_variance(sigma: float, lower: float) -> float:
    """The same with `beta_t` as the variance (Ho et al. 2020, section 3.2, first choice); none on the last step.

    It is also the noise of Song's reverse-diffusion predictor for VP (Song et al. 2021, algorithm 3).
    """
    if lower == 0:
        return 0.0
    return math.sqrt((sigma**2 - lower**2) * (1 + lower**2) / (1 + sigma**2))


def reverse_diffusion(sigma: float, lower: float) -> float:
    """The amount of noise that the step removes (Song et al. 2021, algorithm 2, for VE); none on the last step."""
    return math.sqrt(sigma**2 - lower**2) if lower > 0 else 0.0


VARIANCES: dict[str, Callable[[float, float], float]] = {
    "small": small_variance,
    "large": large_variance,
    "reverse-diffusion": reverse_diffusion,
}


def ddpm(
    denoise: Denoise,
    y: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    variance: str = "small",
    callback: Callback = no_callback,
) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, algorithm 2)."""
    for i, (sigma, lower) in enumerate(pairwise(sigmas.tolist())):
        x0 = denoise(y, sigma)
        callback(i, y, x0)
        y = x0 + (lower / sigma) ** 2 * (y - x0)
        up = VARIANCES[variance](sigma, lower)
        if up > 0:
            y = y + up * noise(i)
    return y


def ddpm_learned(
    denoise: Callable[[Tensor, float], tuple[Tensor, Tensor]],
    y: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    callback: Callback = no_callback,
) -> Tensor:
    """Ancestral sampling with learned variance (Nichol and Dhariwal 2021, equation 15).

    `denoise` returns (x0, fraction), both like y: the logarithm of the variance lies `fraction` of the way from the
    small to the large one.
    """
    for i, (sigma, lower) in enumerate(pairwise(sigmas.tolist())):
        x0, fraction = denoise(y, sigma)
        callback(i, y, x0)
        y = x0 + (lower / sigma) ** 2 * (y - x0)
        if lower > 0:
            small, large = math.log(small_variance(sigma, lower)), math.log(large_variance(sigma, lower))
            y = y + torch.exp(small + fraction * (large - small)) * noise(i)
    return y


def with_fraction(
    model: Callable[..., tuple[Tensor, Tensor]], wrapped: Callable[[Callable[..., Tensor]], Denoise]
) -> Callable[[Tensor, float], tuple[Tensor, Tensor]]:
    """`denoise` for `ddpm_learned`, of a model (y, sigma, labels) -> (x0, fraction).

    `wrapped` makes a denoise function from a model of x0 alone, since labels and guidance concern x0. The fraction is
    that of the model's first output, at the requested labels.
    """
    answers: list[Tensor] = []

    def x0_alone(*arguments: Tensor) -> Tensor:
        x0, fraction = model(*arguments)
        answers.append(fraction)
        return x0

    denoise = wrapped(x0_alone)

    def both(y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        answers.clear()
        x0 = denoise(y, sigma)
        return x0, answers[0][: len(y)]

    return both


def ddim(
    denoise: Denoise, y: Tensor, sigmas: Tensor, noise: Noise, *, eta: float = 0.0, callback: Callback = no_callback
) -> Tensor:
    """Song et al. 2020, equation 12. eta 0: deterministic; eta 1: `ddpm` with the small variance."""
    for i, (sigma, lower) in enumerate(pairwise(sigmas.tolist())):
        x0 = denoise(y, sigma)
        callback(i, y, x0)
        up = eta * small_variance(sigma, lower)
        y = x0 + math.sqrt(lower**2 - up**2) / sigma * (y - x0)
        if up > 0:
            y = y + up * noise(i)
    return y


def predictor_corrector(
    denoise: Denoise,
    y: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    variance: str = "small",
    corrections: int = 1,
    snr: float = 0.16,
    callback: Callback = no_callback,
) -> Tensor:
    """Song et al. 2021, algorithm 3 (VP): at every level, steps of Langevin dynamics and then an ancestral step.

    Their corrector moves x = y / q, with q = sqrt(1 + sigma^2), by `e grad log p(x) + sqrt(2 e) z`, where (algorithm 5)
    `e = 2 alpha (snr |z| / |grad log p(x)|)^2` and alpha = 1 - beta. Times q, and with `grad log p(x) = q grad log
    p(y)`, that is a step of the size `q^2 e = 2 alpha (snr |z| / |grad log p(y)|)^2` in y: q cancels and alpha stays,
    the ratio of abar at the two levels, `(1 + lower^2) / (1 + sigma^2)`.
    """
    values = sigmas.tolist()
    alphas = [(1 + lower**2) / (1 + sigma**2) for sigma, lower in pairwise(values)]
    return _predict_and_correct(denoise, y, values, noise, alphas, variance, corrections, snr, callback)


def predictor_corrector_ve(
    denoise: Denoise,
    y: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    variance: str = "small",
    corrections: int = 1,
    snr: float = 0.16,
    callback: Callback = no_callback,
) -> Tensor:
    """Song et al. 2021, algorithm 2 (VE): as for VP, without the factor alpha (algorithm 4)."""
    values = sigmas.tolist()
    alphas = [1.0] * (len(values) - 1)
    return _predict_and_correct(denoise, y, values, noise, alphas, variance, corrections, snr, callback)


def _predict_and_correct(
    denoise: Denoise, y: Tensor, sigmas: list[float], noise: Noise, alphas: list[float], variance: str,
    corrections: int, snr: float, callback: Callback,
) -> Tensor:  # fmt: skip
    """The loop of both. As in Song's code, the corrector runs before the predictor: sigma 0 is not corrected."""
    for i, (sigma, lower) in enumerate(pairwise(sigmas)):
        for _ in range(corrections):
            score = (denoise(y, sigma) - y) / sigma**2
            z = noise(i)
            step = 2 * alphas[i] * (snr * _norm(z) / _norm(score)) ** 2
            y = y + step * score + (2 * step).sqrt() * z
        x0 = denoise(y, sigma)
        callback(i, y, x0)
        y = x0 + (lower / sigma) ** 2 * (y - x0)
        up = VARIANCES[variance](sigma, lower)
        if up > 0:
            y = y + up * noise(i)
    return y


def _norm(images: Tensor) -> Tensor:
    """The norm of each image as a vector, (B, 1, 1, 1); per image, so that none depends on its batch."""
    return images.square().flatten(1).sum(1).sqrt().view(-1, *[1] * (images.ndim - 1))
