"""The cost of a training before it is run, measured on a few steps with random examples."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ddpm.config import params
from ddpm.runtime.device import choose_device
from ddpm.training import batches, loop, setup
from ddpm.training.announcement import parameters

SECONDS = 1.0
"""Time that the measured step may take on a CPU; with less than the whole batch, the rate is slightly too low."""
FEW = 4


@dataclass(frozen=True)
class Estimate:
    """Images per second in training, parameters of the network, and the device."""

    images_per_second: float
    parameters: int
    device: str


def measure(settings: params.Params, image: Mapping[str, Any], device: str = "auto") -> Estimate:
    """Time one training step of a new network on random examples, without compilation.

    image: section `image` of the config, as of `setup.examples`. Raises ValueError for parameters that the device does
    not support.
    """
    where = choose_device(device)
    chosen = settings.train.model_copy(update={"compile": False, "sharding": "none"})
    setup.set_kernels(chosen, where)
    config = setup.checkpoint_config(settings, image)
    domain = config.image.domain
    training = setup.new_state(config, chosen, where)
    recipe = setup.train_config(settings)
    size = recipe.batch // recipe.accumulation
    stored = np.random.default_rng(0).integers(256, size=(size, *domain.stored)).astype(domain.dtype)
    labels, indices = np.zeros(size, np.int64), np.arange(size)
    data = batches.in_memory(stored, labels, indices, len(config.image.classes), where, domain.encode)

    def seconds(batch: int) -> float:
        """Take one step and wait for it."""
        own = replace(recipe, batch=batch, accumulation=1)
        began = time.monotonic()
        with batches.Loader(data, own, training.denoiser.process.draw, where, ahead=False) as loader:
            float(loop.train_step(training, loader.batches(training.step), own).loss)
        return time.monotonic() - began

    few = min(FEW, size)
    seconds(few)  # fills caches
    batch = size if where.type != "cpu" else max(few, min(size, int(few * SECONDS / seconds(few))))
    if where.type != "cpu":
        seconds(batch)  # chooses kernels
    return Estimate(batch / seconds(batch), parameters(training.denoiser), str(where))
