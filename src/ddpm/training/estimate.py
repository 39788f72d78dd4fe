"""The cost of a training before it is run, measured on a few steps with random images."""

import time
from dataclasses import dataclass, replace

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


def measure(settings: params.Params, classes: tuple[str, ...], device: str = "auto") -> Estimate:
    """Time one training step of a new network on images of the configured size, without compilation.

    classes: names of the classes. Raises ValueError for parameters that the device does not support.
    """
    where = choose_device(device)
    chosen = settings.train.model_copy(update={"compile": False, "sharding": "none"})
    setup.set_kernels(chosen, where)
    side, channels = settings.prepare.resolution, settings.prepare.channels
    config = setup.checkpoint_config(settings, side, channels, classes)
    training = setup.new_state(config, chosen, where)
    recipe = setup.train_config(settings)
    size = recipe.batch // recipe.accumulation
    images = np.random.default_rng(0).integers(256, size=(size, side, side, channels), dtype=np.uint8)
    labels, indices = np.zeros(size, np.int64), np.arange(size)
    data = batches.in_memory(images, labels, indices, len(classes), where, config.image.domain.encode)

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
