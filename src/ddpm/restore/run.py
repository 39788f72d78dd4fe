"""Computation of restorations. Restoration k of an input depends on seed, name and k only."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion import conditioning, restoration, schedule
from ddpm.diffusion.pixels import to_tensor, to_uint8
from ddpm.diffusion.samplers import table as samplers
from ddpm.model.checkpoint import Model
from ddpm.model.config import DiffusionConfig
from ddpm.restore import baselines
from ddpm.restore.inputs import Inputs
from ddpm.restore.tasks import JUMP, Plan, check_noise
from ddpm.runtime import randomness
from ddpm.runtime.device import choose_device
from ddpm.sampling import generate

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Restored:
    """Restorations: images (N, K, H, W, C) and baseline (N, H, W, C), uint8; noise (N,): removed from each input."""

    images: Images
    baseline: Images
    noise: tuple[float, ...]

    @property
    def mean(self) -> Images:
        """Mean of the K restorations of each input, (N, H, W, C) uint8."""
        mean: Images = np.rint(self.images.mean(axis=1)).astype(np.uint8)
        return mean

    @property
    def spread(self) -> NDArray[np.float32] | None:
        """Standard deviation per pixel in grey levels, (N, H, W, C); None for a single restoration."""
        return self.images.std(axis=1, ddof=1, dtype=np.float32) if self.images.shape[1] > 1 else None


@dataclass(frozen=True)
class Observation:
    """Observed images (N, C, h, w) in [-1, 1], their noise, and the known pixels, (H, W) bool."""

    names: tuple[str, ...]
    pictures: Tensor
    noise: tuple[float, ...]
    known: Tensor | None

    @property
    def seen(self) -> Tensor:
        """The pictures with 0 at unknown pixels."""
        return self.pictures if self.known is None else self.pictures * self.known


def observe(plan: Plan, inputs: Inputs, diffusion: DiffusionConfig) -> Observation:
    """Convert the inputs to tensors with their noise, as planned or estimated from each picture. Needs no weights.

    Raises ValueError that names an input whose noise this model cannot remove.
    """
    pictures = to_tensor(torch.from_numpy(inputs.observed))
    known = None if inputs.known is None else torch.from_numpy(inputs.known)
    noise = []
    for name, picture in zip(inputs.names, pictures, strict=True):
        random = _normal(picture, plan.seed, "estimate", name)
        try:
            sigma = restoration.estimated_noise(picture, random, known) if plan.noise is None else plan.noise
            check_noise(plan.task, sigma, diffusion)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        noise.append(sigma)
    return Observation(inputs.names, pictures, tuple(noise), known)


def restore(
    model: Model,
    plan: Plan,
    given: Observation,
    *,
    batch: int = 64,
    device: str = "auto",
    advance: Callable[[int], None] = lambda count: None,
) -> Restored:
    """Restore all inputs, `plan.count` times each. `advance(n)` is called after every n restorations."""
    where = choose_device(device)
    model.denoiser.to(where).eval()
    images = np.empty((len(given.names), plan.count, plan.side, plan.side, plan.channels), dtype=np.uint8)
    batch = batch if samplers.SAMPLERS[plan.sampling.sampler].batched else 1
    for sigma, part in _batches(given.noise, plan.count, batch):
        named = [(given.names[index], repeat) for index, repeat in part]
        seen = given.seen[[index for index, _ in part]]
        if sigma > 0:
            cut = torch.stack([_normal(seen[0], plan.seed, "cut", *key) for key in named])
            seen = restoration.unclipped(seen, sigma, cut)
        generators = [randomness.generator(plan.seed, "restore", *key) for key in named]
        with torch.inference_mode():
            drawn = _draw(model, plan, seen.to(where), given.known, sigma, generators)
        images[tuple(zip(*part, strict=True))] = to_uint8(drawn)
        advance(len(part))
    return Restored(images, to_uint8(_baseline(plan, given)), given.noise)


def operator(plan: Plan, known: Tensor | None, where: torch.device) -> restoration.Operator:
    """Return the linear operator of a task's observation."""
    match plan.task:
        case "inpaint" if known is not None:
            return restoration.masked(known.to(where).float())
        case "super-resolution":
            return restoration.pooled(plan.scale)
        case "colourise":
            return restoration.grey()
    raise KeyError(f"{plan.task} has no operator")


def _draw(
    model: Model,
    plan: Plan,
    observed: Tensor,
    known: Tensor | None,
    sigma: float,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """Draw one batch, (B, C, H, W)."""
    where, classes = observed.device, len(model.classes)
    label = None if classes == 0 else torch.full((len(observed),), classes if plan.label is None else plan.label)
    network: Callable[..., Any] = model.denoiser
    if plan.trained:
        network = conditioning.conditioned(network, conditioning.enlarged(observed, plan.scale))
    # unless trained for the task, Sampling has the defaults: no guidance, and estimates within [-1, 1]
    labels, source = None if label is None else label.to(where), generate.source(model, plan.sampling)
    denoise = generate.guided(network, None, labels, model.config.image, plan.sampling, f"{plan.task} by {source}")
    table = model.denoiser.sigmas.cpu()
    spacing, steps = plan.sampling.spacing, plan.sampling.steps

    def noise(step: int) -> Tensor:
        size = (plan.channels, plan.side, plan.side)
        return torch.stack([torch.randn(size, generator=each) for each in generators]).to(where)

    if plan.task == "denoise":
        levels, start = restoration.levels_from(sigma, table, spacing, steps), observed
    else:
        levels = schedule.sampling_sigmas(spacing, table, steps)
        start = model.denoiser.process.prior * noise(-1)
    if plan.task != "denoise" and not plan.trained:
        denoise = restoration.consistent(denoise, operator(plan, known, where), observed, sigma)
    draw = partial(samplers.SAMPLERS[plan.sampling.sampler].draw, **plan.sampling.options)
    return restoration.returning(draw, JUMP, plan.rounds)(denoise, start, levels, noise)


def _baseline(plan: Plan, given: Observation) -> Tensor:
    match plan.task:
        case "inpaint" if given.known is not None:
            return baselines.fill(given.pictures, given.known)
        case "super-resolution":
            return baselines.bicubic(given.pictures, plan.scale)
        case "denoise":
            return baselines.median(given.pictures)
        case "colourise":
            return baselines.grey(given.pictures)
    raise KeyError(f"{plan.task} has no baseline")


def _batches(noise: Sequence[float], count: int, batch: int) -> Iterator[tuple[float, list[tuple[int, int]]]]:
    """Yield pairs (input, restoration) of equal noise, `batch` at a time: the sigmas depend on the noise."""
    order = sorted(range(len(noise)), key=lambda index: noise[index])
    for sigma, group in groupby(order, key=lambda index: noise[index]):
        pairs = [(index, repeat) for index in group for repeat in range(count)]
        for start in range(0, len(pairs), batch):
            yield sigma, pairs[start : start + batch]


def _normal(like: Tensor, *key: int | str) -> Tensor:
    return torch.randn(like.shape, generator=randomness.generator(*key))
