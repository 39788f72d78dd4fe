"""Power-function EMA during training, its snapshots, and the choice of a length by held-out loss.

Snapshots are written to `snapshots/` in the folder of the resumable checkpoints and copied to the training's output at
its end. A checkpoint lists all earlier snapshots with their hashes, so a resumed training has them all.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ddpm.common import files
from ddpm.model import power_ema
from ddpm.runtime.sharded_tensors import distribute_like, gather_to_host
from ddpm.training.state import SNAPSHOTS, State

AUTO_LENGTHS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.25)
"""Candidate lengths of `train.ema: auto`."""
ASIDE = 0.05
"""Share of the training split that `train.ema: auto` sets aside for the choice of a length."""
FEWEST_ASIDE = 16
SALT = b"ddpm images set aside for the choice of an average, version 1\0"


@torch.no_grad()
def update(state: State) -> None:
    """Add the current weights to each power-function average."""
    for length, average in state.tracked.averages.items():
        torch._foreach_lerp_(average, state.tracked.weights, power_ema.new_share(length, state.step))


def write(state: State, folder: Path, *, writes: bool = True) -> None:
    """Write the snapshot of this step to the folder of checkpoints.

    writes: as in `state.save`. Raises DiskFullError.
    """
    each = {
        power_ema.key(length, name): tensor
        for length, average in state.averages.items()
        for name, tensor in average.items()
    }
    tensors = gather_to_host(each, keep=writes)
    if not writes:
        return
    path = folder / SNAPSHOTS / power_ema.file_name(state.step)
    files.write_tensors(path, tensors)
    state.snapshots[path.name] = files.sha256_file(path)


def publish(source: Path, steps: tuple[int, ...], target: Path, digest: str) -> None:
    """Copy the snapshots of a finished training from its state folder to `target`. digest: of the training."""
    with files.fresh_folder(target) as new:
        for step in steps:
            shutil.copyfile(source / SNAPSHOTS / power_ema.file_name(step), new / power_ema.file_name(step))
        power_ema.write_index(new, steps, digest)


def set_aside(images: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Select (len(indices),) the training images to set aside to choose a length, by a hash of their pixels.

    images: (N, ...), as stored. Raises ValueError for too few of them.
    """
    aside = np.array([_position(images[index]) < ASIDE for index in indices], dtype=np.bool_)
    if aside.sum() < FEWEST_ASIDE:
        raise ValueError(
            f"train.ema: auto needs {FEWEST_ASIDE} images set aside, and {ASIDE:.0%} of {len(indices):,} training "
            f"images are {aside.sum()}. Add images, or give train.ema a number."
        )
    return aside


def choose(
    state: State, snapshots: power_ema.Snapshots, loss: Callable[[State], float]
) -> tuple[float, dict[float, float]]:
    """Set the EMA to the average with the lowest loss; return its length and the loss of each length tried.

    loss: of the EMA weights of a state, the same in every process.
    """
    losses: dict[float, float] = {}
    for length in AUTO_LENGTHS:
        _, error = power_ema.coefficients(snapshots, length)
        if error <= power_ema.LARGEST_ERROR:
            _set_ema(state, snapshots, length)
            losses[length] = loss(state)
    best = min(losses, key=lambda length: losses[length])
    _set_ema(state, snapshots, best)
    return best, losses


@torch.no_grad()
def _set_ema(state: State, snapshots: power_ema.Snapshots, length: float) -> None:
    for name, tensor in power_ema.reconstruct(snapshots, length).items():
        state.ema[name].copy_(distribute_like(tensor, state.ema[name]))


def _position(image: NDArray[Any]) -> float:
    """Hash an image to [0, 1), uniformly over images."""
    digest = hashlib.sha256(SALT + np.ascontiguousarray(image).tobytes()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
