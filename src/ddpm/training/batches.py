"""Training images and their order: the micro-batches of a step, a function of (seed, step)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion.pixels import to_tensor
from ddpm.runtime import randomness
from ddpm.training.config import TrainConfig
from ddpm.training.data_parallel import SINGLE_PROCESS, ProcessGroup


@dataclass(frozen=True)
class TrainingSet:
    """Training images: images uint8 (N, H, W, C), labels int64 (N,) or None, `indices` of the training split.

    null_label: the label that means "no class".
    """

    images: Tensor
    labels: Tensor | None
    indices: Tensor
    null_label: int


def in_memory(
    images: NDArray[np.uint8], labels: NDArray[np.int64], indices: NDArray[np.int64], classes: int, where: torch.device
) -> TrainingSet:
    """Wrap arrays as tensors: on the CPU a view of the memory map, on a GPU a copy if it fits a quarter of its memory.

    classes: 0 for an unlabelled set, whose labels are ignored.
    """
    pixels = torch.from_numpy(images)
    if where.type == "cuda" and pixels.nbytes < torch.cuda.mem_get_info(where)[0] / 4:
        pixels = pixels.to(where)
    return TrainingSet(pixels, torch.from_numpy(labels) if classes else None, torch.from_numpy(indices), classes)


class EpochSampler:
    """Endless order of training images: a new permutation of `count` for every epoch, from (seed, epoch)."""

    def __init__(self, seed: int, count: int) -> None:
        self.seed, self.count = seed, count
        self.permutations: dict[int, Tensor] = {}

    def at(self, first: int, size: int) -> Tensor:
        """Indices of the images at positions first .. first + size: (size,) int64."""
        positions = torch.arange(first, first + size)
        epochs = positions // self.count
        return torch.stack([self._epoch(int(e))[int(p) % self.count] for p, e in zip(positions, epochs, strict=True)])

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self.permutations:
            permutation = torch.randperm(self.count, generator=randomness.generator(self.seed, "order", epoch))
            self.permutations = {
                **{e: p for e, p in self.permutations.items() if e >= epoch - 1},
                epoch: permutation,
            }
        return self.permutations[epoch]


def batches(
    data: TrainingSet, config: TrainConfig, order: EpochSampler, step: int, group: ProcessGroup = SINGLE_PROCESS
) -> Iterable[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
    """Yield this process's part of each micro-batch of one step: (x, u, noise, labels).

    Every process draws the whole batch from (seed, step), then takes its part.

    u in [0, 1) selects the noise level. The values of one batch are stratified: uniform, with lower variance than
    independent draws (Kingma et al. 2021, appendix I.1).
    """
    generator = randomness.generator(config.seed, "batch", step)
    size = config.batch
    chosen = data.indices[order.at(step * size, size)]
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    u = (torch.arange(size) + offset) / size
    noise = torch.randn(size, *[data.images.shape[i] for i in (3, 1, 2)], generator=generator)
    flipped = torch.rand(size, generator=generator) < 0.5
    hidden = torch.rand(size, generator=generator) < config.label_dropout
    labels = None if data.labels is None else torch.where(hidden, data.null_label, data.labels[chosen])
    micro = size // config.accumulation
    share = micro // group.count
    for i in range(group.rank * share, size, micro):
        part = slice(i, i + share)
        x = to_tensor(data.images[chosen[part].to(data.images.device)])
        if config.flip:
            x = torch.where(flipped[part].view(-1, 1, 1, 1).to(x.device), x.flip(3), x)
        yield x, u[part], noise[part], None if labels is None else labels[part]
