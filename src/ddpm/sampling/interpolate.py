"""Interpolation between two images; each end is a picture, or the noise of a seed."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion import interpolation, schedule
from ddpm.diffusion.samplers import table as samplers
from ddpm.model.checkpoint import Model
from ddpm.model.config import ModelConfig
from ddpm.runtime.device import choose_device
from ddpm.sampling import generate
from ddpm.sampling.options import Sampling

Images = NDArray[np.uint8]


UNGUIDED, HEUN = Sampling(), Sampling(sampler="heun")


def check(config: ModelConfig, count: int, steps: int, label: int | None, sampling: Sampling = UNGUIDED) -> None:
    """Validate a request against a model's config, without its weights. Raises ValueError."""
    config.require_denoiser("interpolation")
    if count < 2:
        raise ValueError(f"count = {count}: must be 2 or more, for the two ends")
    if label is None and config.image.classes and not config.image.label_dropout:
        raise ValueError("this model needs a class for each image (label_dropout = 0): give a label")
    if label is None and sampling.guidance != 1:
        raise ValueError(f"guidance = {sampling.guidance} needs a class: give a label")
    guided = Sampling(sampler="heun", steps=steps, guidance=sampling.guidance)
    generate.check(config, guided, 1, None if label is None else [label])


def between(
    model: Model,
    start: Images | int,
    end: Images | int,
    count: int,
    *,
    steps: int = 50,
    label: int | None = None,
    sampling: Sampling = UNGUIDED,
    device: str = "auto",
) -> Images:
    """Interpolate between two ends: (count, H, W, C) uint8, both ends included.

    An end is a picture (H, W, C) uint8, or the seed of an image of `generate`. label: class of all images, None for
    none. sampling: only its guidance settings are used.
    """
    check(model.config, count, steps, label, sampling)
    where = choose_device(device)
    denoiser, image = model.denoiser.to(where).eval(), model.config.image
    classes, domain = len(image.classes), image.domain
    table = denoiser.sigmas.cpu()
    sigmas = schedule.sampling_sigmas("log-snr", table, steps)

    def at(images: int) -> samplers.Denoise:
        labels = torch.full((images,), classes if label is None else label, device=where) if classes else None
        unclipped = replace(sampling, clamp=False)
        return generate.guided(denoiser, None, labels, image, unclipped, generate.source(model, HEUN))

    def noise(given: Images | int) -> Tensor:
        if isinstance(given, int):
            return denoiser.process.prior * generate.noise_of(torch.tensor([given], device=where), domain.shape)(-1)[0]
        return interpolation.encoded(at(1), domain.encode(torch.from_numpy(given[None].copy())).to(where), sigmas)[0]

    with torch.inference_mode():
        path = interpolation.spherical(noise(start), noise(end), torch.linspace(0, 1, count, device=where))
        return domain.decode(interpolation.decoded(at(count), path, sigmas))
