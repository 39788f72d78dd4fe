"""Sampling images or series. Example i depends only on seed + i, not on batch size or number of processes."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion import conditioning, guidance, schedule
from ddpm.diffusion.pixels import to_tensor
from ddpm.diffusion.samplers import table as samplers
from ddpm.model.checkpoint import Model
from ddpm.model.config import ImageConfig, ModelConfig
from ddpm.runtime import philox
from ddpm.runtime.device import choose_device
from ddpm.sampling.checks import NO_LABEL, check
from ddpm.sampling.options import Sampling

__all__ = ["NO_LABEL", "Sampling", "check", "default_labels", "evaluations", "generate", "strip"]

Images = NDArray[Any]
"""Stored examples: images uint8 (N, H, W, C), or series float32 (N, L, C)."""
DEFAULT = Sampling()


def generate(
    model: Model,
    count: int,
    sampling: Sampling = DEFAULT,
    *,
    seed: int = 0,
    labels: Sequence[int] | None = None,
    low_res: Images | None = None,
    guide: Model | None = None,
    batch: int = 250,
    device: str = "auto",
    advance: Callable[[int], None] | None = None,
    callback: samplers.Callback = samplers.no_callback,
) -> Images:
    """Generate `count` examples as they are stored: images (count, H, W, C) uint8, or series (count, L, C) float32.

    labels: one per image, NO_LABEL for none; None cycles through the classes (i modulo classes), or with low_res uses
    no labels. low_res: input of a super-resolution model, (count, H / scale, W / scale, C) uint8. guide: weaker model
    for autoguidance. `advance(n)` is called after every n images, `callback` in every step of every batch. Raises
    ValueError for a request that the model does not support, NotFiniteError for an estimate that is not finite.
    """
    weaker = None if guide is None else guide.config
    check(model.config, sampling, count, labels, None if low_res is None else low_res.shape, weaker)
    if batch < 1 or seed < 0:
        raise ValueError(f"batch = {batch}, seed = {seed}: batch from 1, seed from 0")
    where = choose_device(device)
    denoiser = model.denoiser.to(where).eval()
    weak = None if guide is None else guide.denoiser.to(where).eval()
    table = denoiser.sigmas.cpu()
    sigmas = schedule.sampling_sigmas(sampling.spacing, table, sampling.steps)
    learned = sampling.variance == "learned"
    batch = batch if samplers.SAMPLERS[sampling.sampler].batched else 1
    all_labels = _labels(count, len(model.classes), labels, low_res is not None)

    domain = model.config.image.domain
    images = np.empty((count, *domain.stored), dtype=domain.dtype)
    for start in range(0, count, batch):
        stop = min(start + batch, count)
        label = torch.tensor(all_labels[start:stop], device=where) if all_labels else None
        noise = noise_of(torch.arange(seed + start, seed + stop, device=where), domain.shape)
        network = denoiser.with_variance if learned else denoiser
        small = None if low_res is None else torch.from_numpy(low_res[start:stop]).to(where)
        given = _given(model, network, small)
        worse = None if weak is None else guidance.with_labels(_given(model, weak, small), label)
        draw = _sampler(given, worse, label, model.config.image, sampling, source(model, sampling))
        first = denoiser.process.prior * noise(-1)
        with torch.inference_mode():
            images[start:stop] = domain.decode(draw(first, sigmas, noise, callback=callback))
        if advance is not None:
            advance(stop - start)
    return images


def small_images(
    config: ModelConfig, images: Images, labels: NDArray[np.int64], count: int
) -> tuple[Images | None, list[int] | None]:
    """Make the default input of a super-resolution model, (low_res, labels) for `generate`; (None, None) for others.

    images: (N, H, W, C) uint8, repeated cyclically and downsampled.
    """
    scale = config.diffusion.scale
    if not scale:
        return None, None
    indices = np.arange(count) % len(images)
    chosen = images[indices]
    side, channels = chosen.shape[1] // scale, chosen.shape[3]
    small = chosen.reshape(count, side, scale, side, scale, channels).mean(axis=(2, 4)).round().astype(np.uint8)
    return small, labels[indices].tolist() if config.image.classes else None


def strip(model: Model, count: int, frames: int, sampling: Sampling = DEFAULT, **options: Any) -> Images:
    """Sample and record the path from noise: images (count, frames, H, W, C) uint8, or series (count, frames, L, C).

    The spacing is always uniform, because with log-SNR spacing most frames look like noise. Frame j shows `x_t`
    (variance-preserving coordinates); the last one is the final image. Options (seed, labels, device): as `generate`.
    """
    seen: dict[int, list[Images]] = {}
    decode = model.config.image.domain.decode

    def callback(step: int, y: Tensor, x0: Tensor) -> None:
        seen.setdefault(step, []).append(decode(y / max(1.0, y.std().item())))

    final = generate(model, count, replace(sampling, spacing="uniform"), **options, batch=count, callback=callback)
    path = [*map(np.concatenate, seen.values()), final]
    chosen = np.linspace(0, len(seen), frames).round().astype(int)
    return np.stack([path[i] for i in chosen], axis=1)


@contextmanager
def evaluations(*models: Model) -> Iterator[list[int]]:
    """Count network evaluations while the block runs: a list with the batch size of each forward pass."""
    seen: list[int] = []

    def count(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen.append(len(arguments[0]))

    hooks = [model.denoiser.net.register_forward_pre_hook(count) for model in models]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def renumbered(labels: Sequence[int], classes: Sequence[str], others: Sequence[str]) -> list[int]:
    """Translate labels from indices into `classes` to indices into `others`, by class name; NO_LABEL is kept.

    Raises ValueError for a class that is missing in `others`.
    """
    if list(classes) == list(others):
        return list(labels)
    place = {name: index for index, name in enumerate(others)}
    missing = sorted({classes[label] for label in labels if label != NO_LABEL} - set(place))
    if missing:
        raise ValueError(f"the model has no class {', '.join(missing)}; it has {', '.join(others)}")
    return [NO_LABEL if label == NO_LABEL else place[classes[label]] for label in labels]


def default_labels(count: int, classes: int) -> list[int]:
    """Cycle through the classes; empty for an unlabelled model."""
    return [i % classes for i in range(count)] if classes else []


def _labels(count: int, classes: int, labels: Sequence[int] | None, enlarges: bool) -> list[int]:
    """Return the network's label input of each image: a class, or `classes` for none; empty for an unlabelled model."""
    if labels is None:
        return [classes] * count if enlarges and classes else default_labels(count, classes)
    return [classes if label == NO_LABEL else label for label in labels]


def _given(model: Model, network: Callable[..., Any], small: Tensor | None) -> Callable[..., Any]:
    """Condition the network of a super-resolution model on small images (B, h, w, C) uint8; return others unchanged."""
    if small is None:
        return network
    scale = model.config.diffusion.scale
    return conditioning.conditioned(network, conditioning.enlarged(to_tensor(small), scale))


def _sampler(
    network: Callable[..., Any],
    weak: samplers.Denoise | None,
    label: Tensor | None,
    image: ImageConfig,
    sampling: Sampling,
    source: str,
) -> Callable[..., Tensor]:
    """Bind the chosen sampler to its denoiser: a function of (y, sigmas, noise, callback)."""
    if sampling.variance == "learned":
        both = samplers.with_fraction(network, lambda model: guided(model, weak, label, image, sampling, source))
        return partial(samplers.ddpm_learned, both)
    denoise = guided(network, weak, label, image, sampling, source)
    return partial(samplers.SAMPLERS[sampling.sampler].draw, denoise, **sampling.options)


def source(model: Model, sampling: Sampling) -> str:
    """Name a model and a sampler, for the message about an estimate that is not finite."""
    weights = f" with the weights {model.sha256[:12]}" if model.sha256 else ""
    return f"the model{weights}, sampled with {sampling.sampler}"


def guided(
    network: guidance.Model,
    weak: samplers.Denoise | None,
    label: Tensor | None,
    image: ImageConfig,
    sampling: Sampling,
    source: str,
) -> samplers.Denoise:
    """Build the denoiser of a network with the guidance of `sampling`. label (B,): None for a network without labels.

    The denoiser raises NotFiniteError for an estimate with NaN or infinity; source: from `source`.
    """
    plain = guidance.with_labels(network, label)
    scale, rescale = sampling.guidance, sampling.guidance_rescale
    if scale == 1:
        denoise = plain
    elif weak is not None:
        denoise = guidance.autoguided(plain, weak, scale, rescale)
    elif label is None:
        raise ValueError(f"guidance = {scale} needs labels or a guide")
    elif scale == 0 and rescale == 0:
        denoise = guidance.with_labels(network, torch.full_like(label, len(image.classes)))
    else:
        denoise = guidance.classifier_free(network, label, len(image.classes), scale, rescale)
    if sampling.guidance_interval is not None:
        denoise = guidance.guidance_interval(*sampling.guidance_interval, denoise, plain)
    denoise = guidance.require_finite(denoise, source)
    return guidance.clip_x0(denoise, image.domain.nearest) if sampling.clamp else denoise


def noise_of(seeds: Tensor, shape: tuple[int, ...]) -> samplers.Noise:
    """Build noise(i): standard normal (B, *shape), from (seed, number of the call); i is unused, calls are in order.

    seeds: (B,) int64 on the device to draw on. shape: of one example as the network sees it.
    """
    draws = itertools.count()

    def noise(step: int) -> Tensor:
        return philox.normal(("sample",), seeds, next(draws), shape)

    return noise
