"""Training images and their order: the micro-batches of a step, a function of (seed, step).

The host chooses images, noise levels and labels; noise is drawn on the network's device. On a GPU, a thread prepares
the next step in pinned memory while this one is computed, and no copy waits for the GPU.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion.pixels import to_tensor
from ddpm.runtime import philox, randomness
from ddpm.training.config import TrainConfig
from ddpm.training.data_parallel import SINGLE_PROCESS, ProcessGroup


@dataclass(frozen=True)
class TrainingSet:
    """Training examples: images uint8 (N, H, W, C) or series float32 (N, L, C), and labels int64 (N,) or None.

    indices: of the training split. null_label: the label that means "no class". encode: stored examples to the
    network's, as in `Domain`.
    """

    images: Tensor
    labels: Tensor | None
    indices: Tensor
    null_label: int
    encode: Callable[[Tensor], Tensor] = to_tensor


def in_memory(
    images: NDArray[Any],
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    classes: int,
    where: torch.device,
    encode: Callable[[Tensor], Tensor] = to_tensor,
) -> TrainingSet:
    """Wrap arrays as tensors: on the CPU a view of the memory map, on a GPU a copy if it fits a quarter of its memory.

    classes: 0 for an unlabelled set, whose labels are ignored. encode: as in `Domain`, by default that of images.
    """
    pixels = torch.from_numpy(images)
    if where.type == "cuda" and pixels.nbytes < torch.cuda.mem_get_info(where)[0] / 4:
        pixels = pixels.to(where)
    numbers = torch.from_numpy(labels) if classes else None
    return TrainingSet(pixels, numbers, torch.from_numpy(indices), classes, encode)


class EpochSampler:
    """Endless order of training images: a new permutation of `count` for every epoch, from (seed, epoch)."""

    def __init__(self, seed: int, count: int) -> None:
        self.seed, self.count = seed, count
        self.permutations: dict[int, Tensor] = {}

    def at(self, first: int, size: int) -> Tensor:
        """Indices of the images at positions first .. first + size: (size,) int64."""
        parts = []
        while size > 0:
            epoch, start = divmod(first, self.count)
            parts.append(self._epoch(epoch)[start : start + size])
            first, size = first + len(parts[-1]), size - len(parts[-1])
        return torch.cat(parts)

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self.permutations:
            permutation = torch.randperm(self.count, generator=randomness.generator(self.seed, "order", epoch))
            self.permutations = {
                **{e: p for e, p in self.permutations.items() if e >= epoch - 1},
                epoch: permutation,
            }
        return self.permutations[epoch]


class Batch(NamedTuple):
    """A micro-batch on the network's device.

    x: (B, C, ...), images in [-1, 1]. sigma: (B,) float64. noise: standard normal, like x. labels: (B,) int64 or None.
    """

    x: Tensor
    sigma: Tensor
    noise: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class Choice:
    """One process's part of one step, chosen on the host, in the order of its micro-batches.

    images: stored examples (B, ...), or their indices (B,) in a set on the device. sigma: (B,) float64. flipped:
    (B,) bool. positions: (B,) int64, of the examples in the training, which select their noise. labels: (B,) int64 or
    None.
    """

    images: Tensor
    sigma: Tensor
    flipped: Tensor
    positions: Tensor
    labels: Tensor | None

    def pinned(self) -> "Choice":
        """Copy to pinned memory, from which a copy to a GPU does not wait."""
        return self._each(Tensor.pin_memory)

    def to(self, where: torch.device) -> "Choice":
        """Copy to a device without waiting for it."""
        return self._each(lambda tensor: tensor.to(where, non_blocking=True))

    def part(self, chosen: slice) -> "Choice":
        """The part for one micro-batch."""
        return self._each(lambda tensor: tensor[chosen])

    def _each(self, function: Callable[[Tensor], Tensor]) -> "Choice":
        images, sigma, flipped, positions = map(function, (self.images, self.sigma, self.flipped, self.positions))
        return Choice(images, sigma, flipped, positions, None if self.labels is None else function(self.labels))


class Loader:
    """The batches of one process of a training, by step. A context manager: its thread ends with the block.

    levels: maps u (B,) float64 in [0, 1) to the noise levels of an image. ahead: prepare the next step in a thread;
    by default on a GPU only, since on a CPU the network needs all cores.
    """

    def __init__(
        self,
        data: TrainingSet,
        config: TrainConfig,
        levels: Callable[[Tensor], Tensor],
        where: torch.device,
        group: ProcessGroup = SINGLE_PROCESS,
        *,
        ahead: bool | None = None,
    ) -> None:
        self.data, self.config, self.levels, self.where, self.group = data, config, levels, where, group
        self.order = EpochSampler(config.seed, len(data.indices))
        threaded = where.type == "cuda" if ahead is None else ahead
        self.thread = ThreadPoolExecutor(1, "next batch") if threaded else None
        self.next: tuple[int, Future[Choice]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.thread:
            self.thread.shutdown(cancel_futures=True)

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield this process's part of each micro-batch of a step."""
        choice, config, data = self._chosen(step).to(self.where), self.config, self.data
        share = config.batch // config.accumulation // self.group.count
        for number in range(config.accumulation):
            part = choice.part(slice(number * share, (number + 1) * share))
            x = data.encode(part.images if part.images.ndim > 1 else data.images[part.images])
            if config.flip:
                x = torch.where(part.flipped.view(-1, 1, 1, 1), x.flip(3), x)
            noise = philox.normal((config.seed, "noise"), part.positions, 0, tuple(x.shape[1:]))
            yield Batch(x, part.sigma, noise, part.labels)

    def _chosen(self, step: int) -> Choice:
        """The choice for a step, prepared before if possible; also starts to prepare the next step."""
        if self.thread is None:
            return self.choose(step)
        at, future = self.next or (-1, None)
        choice = future.result() if future else None  # waits, since the order is not shared between threads
        if choice is None or at != step:
            choice = self.choose(step)
        if step + 1 < self.config.steps:
            self.next = step + 1, self.thread.submit(self.choose, step + 1)
        return choice

    def choose(self, step: int) -> Choice:
        """Choose images, noise levels and labels of this process for one step.

        Every process chooses the whole batch from (seed, step), then takes its part. The u of one batch are stratified:
        uniform, with lower variance than independent draws (Kingma et al. 2021, appendix I.1).
        """
        config, data, group = self.config, self.data, self.group
        size, generator = config.batch, randomness.generator(config.seed, "batch", step)
        chosen = data.indices[self.order.at(step * size, size)]
        offset = torch.rand(1, generator=generator, dtype=torch.float64)
        u = (torch.arange(size) + offset) / size
        flipped = torch.rand(size, generator=generator) < 0.5
        hidden = torch.rand(size, generator=generator) < config.label_dropout
        labels = None if data.labels is None else torch.where(hidden, data.null_label, data.labels[chosen])
        mine = torch.arange(size).view(config.accumulation, group.count, -1)[:, group.rank].flatten()
        chosen = chosen[mine]
        choice = Choice(
            data.images[chosen] if data.images.device.type == "cpu" else chosen,
            self.levels(u[mine]),
            flipped[mine],
            step * size + mine,
            None if labels is None else labels[mine],
        )
        return choice.pinned() if self.where.type == "cuda" else choice
