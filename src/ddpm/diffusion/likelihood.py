"""Likelihood of uint8 images in bits per dimension: by the probability flow, or bounded by the chain.

A density over [-1, 1] is converted to a probability by the width of one of the 256 levels, 1 / 127.5.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from ddpm.diffusion import variational
from ddpm.diffusion.samplers.base import Denoise, Noise
from ddpm.diffusion.samplers.ode import flat

LEVELS_PER_UNIT = 127.5
WithFraction = Callable[[Tensor, float], tuple[Tensor, Tensor]]


def dequantised(x: Tensor, uniform: Tensor) -> Tensor:
    """Images on uint8 levels in [-1, 1], spread evenly over their levels by `uniform` in [0, 1) (Theis et al. 2016).

    The density of the result, averaged over `uniform`, is a lower bound of the probability of the levels.
    """
    return x + (uniform - 0.5) / LEVELS_PER_UNIT


def flow_bits(
    denoise: Denoise, y: Tensor, low: float, high: float, prior: float, probes: Tensor, tolerance: float = 1e-5
) -> Tensor:
    """Bits per dimension of y (B, C, H, W) by the probability flow (Song et al. 2021, equation 39): (B,) float64.

    The flow carries y from the level `low` to `high`, where the density is N(0, prior^2). In x = y / q, with q =
    sqrt(1 + sigma^2), and log(sigma) it is `dx = (x - q D) / q^2`, and the log density falls along it by the
    divergence `d / q^2 - trace(dD/dy)`. So this is the density of what the flow draws at the level `low`, exactly, but
    for the trace: it is the mean of `p (dD/dy) p` over probes (K, B, C, H, W) (Hutchinson), which must be of unit
    variance, `signs`, or all directions, `directions`. tolerance: relative and absolute, of x and of nats per
    dimension; one step size suits the whole batch. Raises ArithmeticError where the solver fails.
    """
    dimensions = y[0].numel()
    count = y.numel()

    def slope(log_sigma: float, state: NDArray[np.float64]) -> NDArray[np.float64]:
        sigma = math.exp(log_sigma)
        q = math.hypot(1, sigma)
        x = state[:count]
        estimate, trace = _with_trace(denoise, torch.from_numpy(q * x).to(y).view(y.shape), sigma, probes)
        return np.concatenate([(x - q * flat(estimate)) / q**2, 1 / q**2 - flat(trace) / dimensions])

    start = np.concatenate([flat(y) / math.hypot(1, low), np.zeros(len(y))])
    end = solve_ivp(slope, (math.log(low), math.log(high)), start, rtol=tolerance, atol=tolerance)
    if not end.success:
        raise ArithmeticError(f"the flow could not be solved to the tolerance {tolerance}: {end.message}")
    scale = math.hypot(1, high)
    last = torch.from_numpy(end.y[:count, -1]).view(len(y), -1) * scale
    fallen = torch.from_numpy(end.y[count:, -1]) + math.log(scale / math.hypot(1, low))
    log_prior = -0.5 * (last / prior).square().mean(1) - math.log(prior * math.sqrt(2 * math.pi))
    return -(log_prior + fallen) / math.log(2) + math.log2(LEVELS_PER_UNIT)


def signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Probes of -1 and 1 at random (Rademacher): of all with unit variance, those that vary the least."""
    return torch.randint(0, 2, shape, generator=generator).double() * 2 - 1


def directions(shape: tuple[int, ...]) -> Tensor:
    """One probe for each dimension of an image (C, H, W), scaled so that their mean is the trace: (d, 1, C, H, W).

    As many backward passes as an image has values: for small images, and for tests.
    """
    dimensions = math.prod(shape)
    return math.sqrt(dimensions) * torch.eye(dimensions, dtype=torch.float64).view(dimensions, 1, *shape)


def _with_trace(denoise: Denoise, y: Tensor, sigma: float, probes: Tensor) -> tuple[Tensor, Tensor]:
    """D and the trace of its Jacobian, (B,)."""
    with torch.enable_grad():
        y = y.requires_grad_()
        estimate = denoise(y, sigma)
        traces = []
        for probe in probes.to(y):
            directed = probe.expand_as(y)
            (gradient,) = torch.autograd.grad(estimate, y, directed, retain_graph=True)
            traces.append((gradient * directed).flatten(1).sum(1))
    return estimate.detach(), torch.stack(traces).mean(0)


class Bound(NamedTuple):
    """The parts of the variational bound in bits per dimension: prior and decoder (B,), steps (T - 1, B).

    prior: L_T, what is left of the image where sampling starts; steps: L_(T-1) to L_1; decoder: L_0.
    """

    prior: Tensor
    steps: Tensor
    decoder: Tensor

    @property
    def total(self) -> Tensor:
        """The bound, (B,)."""
        return self.prior + self.steps.sum(0) + self.decoder


def bound(
    denoise: WithFraction, x: Tensor, sigmas: Tensor, prior: float, noise: Noise, advance: Callable[[], None]
) -> Bound:
    """The variational bound of -log p(x) (Ho et al. 2020, equation 5), one draw of noise at each of the T levels.

    x (B, C, H, W) on uint8 levels; sigmas (T,) ascending; prior: standard deviation of y where sampling starts.
    denoise returns (x0, fraction): the estimate, and where between the logarithms of the small and the large variance
    that of the model's step lies; `fixed` gives a constant one. With the small variance, a step's term is `(SNR(lower)
    - SNR(sigma)) |x - D|^2 / 2` in nats (Kingma et al. 2021, section 4), with SNR = 1 / sigma^2. `advance()` is
    called after every level.
    """
    sigmas = sigmas.double()
    terms = []
    for i in reversed(range(len(sigmas))):
        sigma = sigmas[i].item()
        y = x + sigma * noise(i)
        estimate, fraction = denoise(y, sigma)
        level = torch.full((len(x),), sigma, dtype=torch.float64, device=x.device)
        terms.append(variational.step_terms(x, estimate, fraction, level, sigmas.to(x.device)))
        advance()
    *steps, decoder = [variational.in_bits(term) for term in terms]
    ratio = (sigmas[-1].item() / prior) ** 2
    left = 0.5 * ((x.double() / prior).square().flatten(1).mean(1) + ratio - 1 - math.log(ratio))
    return Bound(variational.in_bits(left), torch.stack(steps) if steps else decoder.new_zeros(0, len(x)), decoder)


def fixed(denoise: Denoise, fraction: float) -> WithFraction:
    """A model of fixed variance for `bound`: fraction 0 the small one, 1 the large one."""

    def both(y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        return denoise(y, sigma), torch.full_like(y, fraction)

    return both
