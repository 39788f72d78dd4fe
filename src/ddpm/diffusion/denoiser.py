"""The denoiser `D(y, sigma) -> x0`, which is every model, and the one loss that trains it.

What the network F predicts is a row of three coefficients (skip, out, in):
`D(y, sigma) = skip * y + out * F(in * y, time(sigma))`, and the target of F is `(x0 - skip * y) / out`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ddpm.diffusion import variational
from ddpm.diffusion.process import Process


class Coefficients(NamedTuple):
    """Coefficients of `D = skip * y + out * F(scale * y)`, each with the shape of sigma."""

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


def score(sigma: Tensor, sigma_data: float) -> Coefficients:
    """F predicts sigma times the score, `sigma grad log p(y) = (D - y) / sigma`, of y as it is (Song et al. 2021)."""
    return Coefficients(torch.ones_like(sigma), sigma, torch.ones_like(sigma))


def edm(sigma: Tensor, sigma_data: float) -> Coefficients:
    """Unit variance in and out for data of standard deviation `sigma_data` (Karras et al. 2022, table 1)."""
    total = sigma**2 + sigma_data**2
    return Coefficients(sigma_data**2 / total, sigma * sigma_data * total.rsqrt(), total.rsqrt())


def flow(sigma: Tensor, sigma_data: float) -> Coefficients:
    """F predicts the velocity `eps - x0` of `x_t = (1 - t) x0 + t eps`, sigma = t / (1 - t) (Liu et al. 2023)."""
    scale = 1 / (1 + sigma)
    return Coefficients(scale, -sigma * scale, scale)


PREDICTIONS: dict[str, Callable[[Tensor, float], Coefficients]] = {
    "eps": eps,
    "x0": x0,
    "v": v,
    "score": score,
    "edm": edm,
    "flow": flow,
}

# Weights of the squared error of x0, at sigma (B,). With SNR = 1 / sigma^2, and D's error = out * F's error.


def simple(sigma: Tensor, row: Coefficients, sigma_data: float) -> Tensor:
    """SNR: the squared error of the noise, `eps - eps' = (x0' - x0) / sigma` (Ho et al. 2020, equation 14).

    The same number is denoising score matching with weight sigma^2 (Song et al. 2021, equation 7).
    """
    return sigma**-2


def truncated_snr(sigma: Tensor, row: Coefficients, sigma_data: float) -> Tensor:
    """max(SNR, 1) (Salimans and Ho 2022, section 4)."""
    return (sigma**-2).clamp(min=1)


def min_snr(sigma: Tensor, row: Coefficients, sigma_data: float) -> Tensor:
    """min(SNR, gamma) with gamma = 5 (Hang et al. 2023, section 3.4)."""
    return (sigma**-2).clamp(max=5)


def p2(sigma: Tensor, row: Coefficients, sigma_data: float) -> Tensor:
    """SNR / (k + SNR)^gamma with k = gamma = 1 (Choi et al. 2022, equation 8)."""
    snr = sigma**-2
    return snr / (1 + snr)


def edm_weight(sigma: Tensor, row: Coefficients, sigma_data: float) -> Tensor:
    """`1 / out^2` of the edm prediction (Karras et al. 2022, table 1), whatever the network predicts."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def output(sigma: Tensor, row: Coefficients, sigma_data: float) -> Tensor:
    """Makes the loss the squared error of what the network puts out."""
    return row.out**-2


WEIGHTINGS: dict[str, Callable[[Tensor, Coefficients, float], Tensor]] = {
    "simple": simple,
    "snr": simple,  # Salimans and Ho's name for it
    "truncated-snr": truncated_snr,
    "min-snr": min_snr,
    "p2": p2,
    "edm": edm_weight,
    "output": output,
}
VARIATIONAL_WEIGHT = 1e-3
"""Of the bound beside the simple loss, where the variance is learned (Nichol and Dhariwal 2021, equation 16)."""


class Denoiser(nn.Module):
    """A network with its forward process and prediction: `D(y, sigma, labels)`.

    net: called as `net(x, t, labels)` with x (B, C, H, W), t (B,) float, labels (B,) int64 or None; it puts out C
    channels, or 2 C where the variance of a step is learned as well.
    """

    sigmas: Tensor

    def __init__(self, net: nn.Module, process: Process, prediction: str, sigma_data: float) -> None:
        super().__init__()
        self.net = net
        self.process = process
        self.row = PREDICTIONS[prediction]
        self.sigma_data = sigma_data
        self.register_buffer("sigmas", process.sigmas, persistent=False)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """The row of this prediction at `sigma` (B,), float64."""
        return self.row(sigma, self.sigma_data)

    def forward(
        self, y: Tensor, sigma: Tensor, labels: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """The expected clean image, (B, C, H, W).

        y (B, C, H, W), sigma (B,) > 0, labels (B,) or None, condition (B, C', H, W) or None.
        """
        return self._estimate(y, sigma, labels, condition)[0]

    def with_variance(
        self, y: Tensor, sigma: Tensor, labels: Tensor | None = None, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Estimate the clean image and the position of the step's log variance between small (0) and large (1).

        Both (B, C, H, W). Raises ValueError if the network was trained with a fixed variance.
        """
        estimate, rest = self._estimate(y, sigma, labels, condition)
        if rest.shape != estimate.shape:
            raise ValueError("this model was trained with a fixed variance (diffusion.variance = fixed)")
        return estimate, as_fraction(rest)

    def _estimate(
        self, y: Tensor, sigma: Tensor, labels: Tensor | None, condition: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """D, and the network's channels beyond those of y."""
        row = Coefficients(*(per_image(each, y) for each in self.coefficients(sigma.double())))
        output: Tensor = self.net(joined(row.scale * y, condition), self.process.time(sigma), labels).to(y.dtype)
        channels = y.shape[1]
        return row.skip * y + row.out * output[:, :channels], output[:, channels:]

    def loss(
        self,
        x: Tensor,
        sigma: Tensor,
        noise: Tensor,
        labels: Tensor | None,
        weighting: str,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Weighted squared error of F, per image: (B,). With learned variance, plus the bound's term (L_hybrid).

        x (B, C, H, W) in [-1, 1]; sigma (B,) float64; noise like x, standard normal.
        The input `scale * y` and the target are mixed from x and noise with float64 coefficients: at large sigma,
        forming y first would lose x in float32.
        """
        row = self.coefficients(sigma)
        weight = WEIGHTINGS[weighting](sigma, row, self.sigma_data) * row.out**2
        noisy = per_image(row.scale, x) * x + per_image(row.scale * sigma, x) * noise
        output: Tensor = self.net(joined(noisy, condition), self.process.time(sigma), labels).to(x.dtype)
        predicted, rest = output[:, : x.shape[1]], output[:, x.shape[1] :]
        error = predicted - _target(x, noise, sigma, row)
        loss = weight.to(x.dtype) * error.square().mean(dim=tuple(range(1, x.ndim)))
        if rest.shape[1] == 0:
            return loss
        # the bound teaches the variance alone: the mean is held fixed in it (section 3.1 there)
        estimate = x + per_image(row.out, x) * error.detach()
        terms = variational.step_terms(x, estimate, as_fraction(rest), sigma, self.sigmas)
        return loss + (VARIATIONAL_WEIGHT * len(self.sigmas) * variational.in_bits(terms)).to(x.dtype)


def joined(noisy: Tensor, condition: Tensor | None) -> Tensor:
    """The network's input: the noisy image, and the condition as further channels."""
    return noisy if condition is None else torch.cat([noisy, condition.to(noisy.dtype)], dim=1)


def as_fraction(output: Tensor) -> Tensor:
    """Map the network's variance output from [-1, 1] to a fraction in [0, 1]."""
    return (output + 1) / 2


def _target(x: Tensor, noise: Tensor, sigma: Tensor, row: Coefficients) -> Tensor:
    """`(x - skip * y) / out`, written as `a x + b eps` with coefficients from float64, so that nothing cancels."""
    of_x = per_image((1 - row.skip) / row.out, x)
    of_noise = per_image(-row.skip * sigma / row.out, x)
    return of_x * x + of_noise * noise


def per_image(value: Tensor, like: Tensor) -> Tensor:
    """(B,) as (B, 1, ...), with as many axes as `like` and in its type."""
    return value.to(like.dtype).view(-1, *[1] * (like.ndim - 1))
