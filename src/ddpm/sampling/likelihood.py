"""Likelihood of images in bits per dimension. The noise of image i depends only on seed + i."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion import guidance, likelihood
from ddpm.diffusion.pixels import to_tensor
from ddpm.diffusion.samplers.ancestral import with_fraction
from ddpm.diffusion.samplers.base import Denoise
from ddpm.model.checkpoint import Model
from ddpm.runtime import randomness
from ddpm.runtime.device import choose_device

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Bits = NDArray[np.float64]
VARIANCES = {"small": 0.0, "large": 1.0}


def by_flow(
    model: Model,
    images: Images,
    labels: Labels | None,
    *,
    seed: int = 0,
    probes: int = 1,
    tolerance: float = 1e-4,
    batch: int = 50,
    device: str = "auto",
    advance: Callable[[int], None] = lambda count: None,
) -> Bits:
    """Compute bits per dimension by the probability flow ODE between the lowest and highest noise level: (N,).

    images: (N, H, W, C) uint8; labels: (N,), None for an unlabelled model; probes: number of Hutchinson probes of the
    trace per image.
    """
    low, high = model.denoiser.sigmas[0].item(), model.denoiser.sigmas[-1].item()
    found = []
    for x, label, generators in _batches(model, images, labels, seed, batch, device):
        uniform = torch.stack([torch.rand(x.shape[1:], generator=each) for each in generators]).to(x)
        signs = torch.stack([likelihood.signs((probes, *x.shape[1:]), each) for each in generators], dim=1)
        y = likelihood.dequantised(x, uniform)
        denoise = guidance.require_finite(guidance.with_labels(model.denoiser, label), _source(model))
        found.append(likelihood.flow_bits(denoise, y, low, high, model.denoiser.process.prior, signs, tolerance))
        advance(len(x))
    return torch.cat(found).numpy()


def by_bound(
    model: Model,
    images: Images,
    labels: Labels | None,
    *,
    variance: str,
    seed: int = 0,
    clamp: bool = True,
    batch: int = 250,
    device: str = "auto",
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, Bits]:
    """Compute the variational bound of ancestral sampling over all T levels: `total` and its terms, each (N,).

    variance: small, large, or learned. clamp: clip estimates to [-1, 1], as in sampling. `advance(n)` is called after
    every n evaluations of the network.
    """
    found = []
    for x, label, generators in _batches(model, images, labels, seed, batch, device):

        def noise(step: int, x: Tensor = x, generators: list[torch.Generator] = generators) -> Tensor:
            return torch.stack([torch.randn(x.shape[1:], generator=each) for each in generators]).to(x)

        def one_level(count: int = len(x)) -> None:
            advance(count)

        denoise = _with_variance(model, label, variance, clamp=clamp)
        sigmas, prior = model.denoiser.sigmas.cpu(), model.denoiser.process.prior
        with torch.inference_mode():
            bound = likelihood.bound(denoise, x, sigmas, prior, noise, one_level)
        found.append([bound.total, bound.prior, bound.steps.sum(0), bound.decoder])
    parts = [torch.cat(part).cpu().numpy() for part in zip(*found, strict=True)]
    return dict(zip(("total", "prior", "steps", "decoder"), parts, strict=True))


def _with_variance(model: Model, label: Tensor | None, variance: str, *, clamp: bool) -> likelihood.WithFraction:
    def wrapped(network: Callable[..., Tensor]) -> Denoise:
        denoise = guidance.require_finite(guidance.with_labels(network, label), _source(model))
        return guidance.clip_x0(denoise, model.config.image.domain.nearest) if clamp else denoise

    if variance == "learned":
        return with_fraction(model.denoiser.with_variance, wrapped)
    return likelihood.fixed(wrapped(model.denoiser), VARIANCES[variance])


def _source(model: Model) -> str:
    return f"the likelihood by the model with the weights {model.sha256[:12]}"


def _batches(
    model: Model, images: Images, labels: Labels | None, seed: int, batch: int, device: str
) -> Iterator[tuple[Tensor, Any, list[torch.Generator]]]:
    """Iterate over x (B, C, H, W) in [-1, 1], labels (B,) or None, and one generator per image."""
    where = choose_device(device)
    model.denoiser.to(where).eval()
    for start in range(0, len(images), batch):
        chosen = slice(start, start + batch)
        x = to_tensor(torch.from_numpy(np.ascontiguousarray(images[chosen]))).to(where)
        label = None if labels is None else torch.from_numpy(labels[chosen]).to(where)
        generators = [randomness.generator(seed + start + i, "likelihood") for i in range(len(x))]
        yield x, label, generators
