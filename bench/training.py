"""A training without record, preview or checkpoint, for the benches that need a model of their own."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddpm.config import params
from ddpm.model import checkpoint, power_ema
from ddpm.runtime.device import choose_device
from ddpm.training import batches, loop, snapshots
from ddpm.training.setup import checkpoint_config, new_state, train_config
from ddpm.training.state import SNAPSHOTS


class Trained(NamedTuple):
    """The averaged model, and what it took."""

    model: checkpoint.Model
    images: int
    seconds: float
    cpu_seconds: float
    loss: float


def trained(
    settings: params.Params,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    classes: tuple[str, ...],
    keep: Path | None = None,
) -> Trained:
    """Train as the train stage would on images (N, H, W, C) at `indices`; classes: () for an unlabelled model.

    keep: folder in which to leave the model, and the snapshots of its averages for `ddpm ema --train`.
    """
    where = choose_device()
    config = checkpoint_config(settings, images.shape[1], images.shape[3], classes)
    initial = Path(settings.train.initial) if settings.train.initial else None
    training, recipe = new_state(config, settings.train, where, initial), train_config(settings)
    data = batches.in_memory(images, labels, indices, len(classes), where)

    def nothing(*values: Any) -> None:
        """Do nothing, in place of record, preview and checkpoint."""

    started, cpu = time.monotonic(), time.process_time()
    loop.fit(
        training, data, recipe, log=nothing, preview=nothing, save=nothing, should_stop=lambda: False,
        snapshot=(lambda now: snapshots.write(now, keep)) if keep else nothing,
    )  # fmt: skip
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    if keep:
        checkpoint.save(keep / "model", config, training.ema, training.denoiser.state_dict())
        (keep / SNAPSHOTS).rename(keep / "ema")
        power_ema.write_index(keep / "ema", recipe.snapshot_steps, config.digest)
    training.denoiser.load_state_dict(training.ema)
    model = checkpoint.Model(training.denoiser.requires_grad_(requires_grad=False).eval(), config, "")
    return Trained(model, recipe.steps * recipe.batch, seconds, cpu, training.history[-1]["loss"])
