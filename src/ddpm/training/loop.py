"""Training loop, a function of (parameters, data, step). Progress is counted in images.

Data order, noise, label dropout and dropout depend only on (seed, step), so an interrupted and resumed run produces
bit-identical weights. With several processes, each computes its part of the batch that a single process would see.
"""

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.diffusion import conditioning
from ddpm.diffusion.pixels import to_tensor
from ddpm.runtime import randomness
from ddpm.runtime.device import autocast
from ddpm.runtime.sharded_tensors import full_tensor, local_tensor
from ddpm.training.data_parallel import SINGLE_PROCESS, ProcessGroup
from ddpm.training.state import State


class NotFiniteError(ArithmeticError):
    """The loss or the gradient is not finite; the message gives step and sigma."""


class TrainingStopped(Exception):  # noqa: N818  # no error: it was asked for
    """Training stopped on request, after saving its state."""


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation settings; every length is a number of images. See params.yaml, section train."""

    seed: int
    images: int
    batch: int
    accumulation: int
    lr: float
    warmup: int
    decay: float
    clip: float
    ema: int
    label_dropout: float
    flip: bool
    precision: str
    weighting: str
    condition_scale: int
    log_every: int
    sample_every: int
    checkpoint_every: int

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run; the last one may exceed the budget by part of a batch."""
        return math.ceil(self.images / self.batch)

    def require_shares(self, processes: int) -> None:
        """Raise ValueError if `processes` do not divide each micro-batch equally."""
        if self.batch % (self.accumulation * processes):
            raise ValueError(
                f"{processes} processes cannot share train.batch = {self.batch} equally in train.accumulation = "
                f"{self.accumulation} parts: it must be a multiple of {self.accumulation * processes}. "
                "Change one of them, or train.processes."
            )

    def passes(self, every: int, step: int) -> bool:
        """Whether the step that ends at `step` crosses a multiple of `every` images."""
        return step * self.batch // every > (step - 1) * self.batch // every


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


def fit(
    state: State,
    data: TrainingSet,
    config: TrainConfig,
    *,
    log: Callable[[int, dict[str, float]], None],
    preview: Callable[[int, State], None],
    save: Callable[[State], None],
    should_stop: Callable[[], bool],
    group: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train in place from `state.step` to the end of the budget.

    log(images, values), preview(images, state) and save(state) are callbacks at the configured intervals; save is also
    called at the end and before TrainingStopped is raised because `should_stop()` returned True. Every process of the
    group calls them at the same step. Raises NotFiniteError in every process.
    """
    config.require_shares(group.count)
    order = EpochSampler(config.seed, len(data.indices))
    while state.step < config.steps:
        if should_stop():
            save(state)
            raise TrainingStopped(f"stopped at image {state.step * config.batch}; the state is saved")
        loss, norm = train_step(state, data, config, order, group)
        images = state.step * config.batch
        state.losses.append(loss)
        if config.passes(config.log_every, state.step) or state.step == config.steps:
            mean_loss = math.fsum(state.losses) / len(state.losses)
            row = {"images": images, "loss": mean_loss, "lr": learning_rate(config, images), "grad_norm": norm}
            state.history.append(row)
            state.losses.clear()
            log(images, {key: row[key] for key in ("loss", "lr", "grad_norm")})
        if config.passes(config.sample_every, state.step) or state.step == config.steps:
            preview(images, state)
        if config.passes(config.checkpoint_every, state.step) and state.step < config.steps:
            save(state)
    save(state)


def train_step(
    state: State, data: TrainingSet, config: TrainConfig, order: "EpochSampler", group: ProcessGroup = SINGLE_PROCESS
) -> tuple[float, float]:
    """Take one optimiser step; return its mean loss and the gradient norm before clipping. Raises NotFiniteError."""
    denoiser, optimizer = state.denoiser, state.optimizer
    where = denoiser.sigmas.device
    denoiser.train()
    # dropout draws from the global generator
    torch.manual_seed(randomness.key_seed(config.seed, "dropout", state.step, *group.dropout_key()))
    for param_group in optimizer.param_groups:
        param_group["lr"] = learning_rate(config, state.step * config.batch)
    optimizer.zero_grad(set_to_none=True)
    loss_of = group.loss(denoiser)
    total, seen = 0.0, []
    for number, (x, u, noise, labels) in enumerate(batches(data, config, order, state.step, group), start=1):
        last = number == config.accumulation
        sigma = denoiser.process.draw(u).to(where)
        x = x.to(where)  # noqa: PLW2901  # the batch, on the network's device
        condition = conditioning.low_resolution(x, config.condition_scale) if config.condition_scale else None
        with contextlib.nullcontext() if last else group.no_sync():
            with autocast(where, config.precision):
                losses = loss_of(
                    x, sigma, noise.to(where), None if labels is None else labels.to(where), config.weighting, condition
                )
            loss = losses.mean() / config.accumulation
            total += loss.item()
            seen.append((losses.detach(), sigma))
            if last:
                total = group.all_reduce_mean(total)  # not finite in any process: all stop together
            if not math.isfinite(total) and (last or group.count == 1):
                all_losses, all_sigmas = (group.all_gather(torch.cat(each)) for each in zip(*seen, strict=True))
                raise NotFiniteError(_where_not_finite(all_losses, all_sigmas, state.step))
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    norm = full_tensor(torch.nn.utils.clip_grad_norm_(denoiser.parameters(), config.clip)).item()
    if not math.isfinite(norm):
        raise NotFiniteError(
            f"the gradient is not finite at step {state.step} (sigma from {sigma.min():.3g} to {sigma.max():.3g}). "
            "Lower train.lr or train.clip, or use precision fp32."
        )
    optimizer.step()
    state.step += 1
    update_ema(state, config)
    return total, norm


def batches(
    data: TrainingSet, config: TrainConfig, order: "EpochSampler", step: int, group: ProcessGroup = SINGLE_PROCESS
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


def learning_rate(config: TrainConfig, images: int) -> float:
    """Linear warm-up, constant, then linear decay to zero over the last `decay` fraction of the run."""
    rise = min(1.0, (images + config.batch) / config.warmup) if config.warmup else 1.0
    left = (config.steps * config.batch - images) / (config.steps * config.batch)
    fall = min(1.0, left / config.decay) if config.decay else 1.0
    return config.lr * min(rise, fall)


@torch.no_grad()
def update_ema(state: State, config: TrainConfig) -> None:
    """Update the exponential moving average of the weights.

    The horizon, in images, is a tenth of those seen, at most `config.ema`, so that a short run forgets its initial
    weights too.
    """
    horizon = min(config.ema, state.step * config.batch / 10)
    weight = 1 - math.exp(-config.batch / horizon) if horizon else 1.0
    current = state.denoiser.state_dict()
    names = list(state.ema)
    averages, weights = ([local_tensor(each[name]) for name in names] for each in (state.ema, current))
    torch._foreach_lerp_(averages, weights, weight)


def _where_not_finite(losses: Tensor, sigmas: Tensor, step: int) -> str:
    bad = [
        f"{sigma:.4g}" for loss, sigma in zip(losses.tolist(), sigmas.tolist(), strict=True) if not math.isfinite(loss)
    ]
    return (
        f"the loss is not finite at step {step}, for sigma {', '.join(bad[:5])}. "
        "Lower train.lr or train.clip, or use precision fp32."
    )
