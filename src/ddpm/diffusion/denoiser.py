"""The denoiser `D(y, sigma) -> x0`, which is every model, and the one loss that trains it.

What the network F predicts is a row of three coefficients (skip, out, in):
`D(y, sigma) = skip * y + out * F(in * y, time(sigma))`, and the target of F is `(x0 - skip * y) / out`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Coefficients(NamedTuple):
    """Of `D = skip * y + out * F(scale * y)`; each has the shape of sigma."""

    skip: Tensor
    out: Tensor
    scale: Tensor


def eps(sigma: Tensor, sigma_data: float) -> Coefficients:
    """F predicts the noise (Ho et al. 2020, equation 11)."""
    return Coefficients(torch.ones_like(sigma), -sigma, (1 + sigma**2).rsqrt())


def x0(sigma: Tensor, sigma_data: float) -> Coefficients:
    """F predicts the image."""
    return Coefficients(torch.zeros_like(sigma), torch.ones_like(sigma), (1 + sigma**2).rsqrt())


def v(sigma: Tensor, sigma_data: float) -> Coefficients:
    """F predicts the velocity `sqrt(abar) eps - sqrt(1 - abar) x0` (Salimans and Ho 2022, appendix D)."""
    q = (1 + sigma**2).sqrt()
    return Coefficients(1 / q**2, -sigma / q, 1 / q)


def edm(sigma: Tensor, sigma_data: float) -> Coefficients:
    """Unit variance in and out for data of standard deviation `sigma_data` (Karras et al. 2022, table 1)."""
    total = sigma**2 + sigma_data**2
    return Coefficients(sigma_data**2 / total, sigma * sigma_data * total.rsqrt(), total.rsqrt())


PREDICTIONS: dict[str, Callable[[Tensor, float], Coefficients]] = {"eps": eps, "x0": x0, "v": v, "edm": edm}


def noise_weight(sigma: Tensor, row: Coefficients) -> Tensor:
    """Squared error of the noise, as `eps - eps' = (x0' - x0) / sigma` (Ho et al. 2020, equation 14)."""
    return (row.out / sigma) ** 2


def output_weight(sigma: Tensor, row: Coefficients) -> Tensor:
    """Makes the loss the squared error of what the network puts out."""
    return torch.ones_like(sigma)


WEIGHTINGS: dict[str, Callable[[Tensor, Coefficients], Tensor]] = {"noise": noise_weight, "output": output_weight}


class Denoiser(nn.Module):
    """A network with its noise schedule and prediction: `D(y, sigma, labels)`.

    net: called as `net(x, t, labels)` with x (B, C, H, W), t (B,) float step index, labels (B,) int64 or None.
    sigmas: (T,) float64, ascending. The network is told the index t; between two table entries t is interpolated in
    log(sigma).
    """

    sigmas: Tensor
    log_sigmas: Tensor

    def __init__(self, net: nn.Module, sigmas: Tensor, prediction: str, sigma_data: float) -> None:
        super().__init__()
        self.net = net
        self.row = PREDICTIONS[prediction]
        self.sigma_data = sigma_data
        self.register_buffer("sigmas", sigmas, persistent=False)
        self.register_buffer("log_sigmas", sigmas.log(), persistent=False)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """The row of this prediction at `sigma` (B,), float64."""
        return self.row(sigma, self.sigma_data)

    def time(self, sigma: Tensor) -> Tensor:
        """The step index t in [0, T - 1] of `sigma` (B,), float32; exact on the table."""
        last = len(self.sigmas) - 1
        if last == 0:
            return torch.zeros_like(sigma, dtype=torch.float32)
        log_sigma = sigma.double().log()
        above = torch.searchsorted(self.log_sigmas, log_sigma).clamp(1, last)
        low, high = self.log_sigmas[above - 1], self.log_sigmas[above]
        fraction = ((log_sigma - low) / (high - low)).clamp(0, 1)
        return (above - 1 + fraction).float()

    def forward(self, y: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """The expected clean image. y (B, C, H, W), sigma (B,) > 0, labels (B,) or None; returns (B, C, H, W)."""
        row = Coefficients(*(per_image(each, y) for each in self.coefficients(sigma.double())))
        output: Tensor = self.net(row.scale * y, self.time(sigma), labels)
        return row.skip * y + row.out * output.to(y.dtype)

    def loss(self, x: Tensor, step: Tensor, noise: Tensor, labels: Tensor | None, weighting: str) -> Tensor:
        """Weighted squared error of F, per image: (B,).

        x (B, C, H, W) in [-1, 1]; step (B,) int64 in [0, T); noise like x, standard normal.
        The input `scale * y` and the target are mixed from x and noise with float64 coefficients: at large sigma,
        forming y first would lose x in float32.
        """
        sigma = self.sigmas[step]
        row = self.coefficients(sigma)
        weight = WEIGHTINGS[weighting](sigma, row)
        noisy = per_image(row.scale, x) * x + per_image(row.scale * sigma, x) * noise
        output: Tensor = self.net(noisy, step.float(), labels)
        error = output.to(x.dtype) - _target(x, noise, sigma, row)
        return weight.to(x.dtype) * error.square().mean(dim=(1, 2, 3))


def _target(x: Tensor, noise: Tensor, sigma: Tensor, row: Coefficients) -> Tensor:
    """`(x - skip * y) / out`, written as `a x + b eps` with coefficients from float64, so that nothing cancels."""
    of_x = per_image((1 - row.skip) / row.out, x)
    of_noise = per_image(-row.skip * sigma / row.out, x)
    return of_x * x + of_noise * noise


def per_image(value: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1) in the type of `like`."""
    return value.to(like.dtype).view(-1, *[1] * (like.ndim - 1))
