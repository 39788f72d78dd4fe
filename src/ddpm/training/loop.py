"""Training is a function of (parameters, data, step).

Order, noise, labels hidden and dropout derive from (seed, step), so a training that was stopped anywhere and resumed
ends with the same weights, to the bit, as one that was not. Several processes see the batch that one would see, each a
part of it. The clock counts images.
"""

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
from ddpm.training.data_parallel import ALONE, Team
from ddpm.training.state import State


class NotFiniteError(ArithmeticError):
    """The loss or the gradient stopped being a number; the message says at which step and sigma."""


class TrainingStopped(Exception):  # noqa: N818  # no error: it was asked for
    """Training was asked to stop; its state is saved."""


@dataclass(frozen=True)
class Recipe:
    """How to train; every length is a number of images. See params.yaml, section train."""

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
        """Optimiser steps of the whole run; the last may go past the budget by a part of a batch."""
        return math.ceil(self.images / self.batch)

    def require_shares(self, processes: int) -> None:
        """Raises ValueError when so many processes can't share each micro-batch equally."""
        if self.batch % (self.accumulation * processes):
            raise ValueError(
                f"{processes} processes cannot share train.batch = {self.batch} equally in train.accumulation = "
                f"{self.accumulation} parts: it must be a multiple of {self.accumulation * processes}. "
                "Change one of them, or train.processes."
            )

    def passes(self, every: int, step: int) -> bool:
        """True when the step that ends at `step` crosses a multiple of `every` images."""
        return step * self.batch // every > (step - 1) * self.batch // every


@dataclass(frozen=True)
class Data:
    """A prepared set: images uint8 (N, H, W, C), labels (N,) int64 or None, `indices` of those to train on.

    null_label is the number that stands for no label.
    """

    images: Tensor
    labels: Tensor | None
    indices: Tensor
    null_label: int


def in_memory(
    images: NDArray[np.uint8], labels: NDArray[np.int64], indices: NDArray[np.int64], classes: int, where: torch.device
) -> Data:
    """The set as tensors: on the CPU a view of the memory map, on a GPU a copy in its memory when it fits a quarter.

    classes: 0 for an unlabelled set, whose labels are not used.
    """
    pixels = torch.from_numpy(images)
    if where.type == "cuda" and pixels.nbytes < torch.cuda.mem_get_info(where)[0] / 4:
        pixels = pixels.to(where)
    return Data(pixels, torch.from_numpy(labels) if classes else None, torch.from_numpy(indices), classes)


def fit(
    state: State,
    data: Data,
    recipe: Recipe,
    *,
    log: Callable[[int, dict[str, float]], None],
    preview: Callable[[int, State], None],
    save: Callable[[State], None],
    should_stop: Callable[[], bool],
    team: Team = ALONE,
) -> None:
    """Train from `state.step` to the end of the recipe, in place.

    log(images, values), preview(images, state) and save(state) are called at the recipe's intervals, save also at the
    end and before TrainingStopped is raised because `should_stop()` is true: in every process of the team, at the same
    step. Raises NotFiniteError, also in all of them.
    """
    recipe.require_shares(team.count)
    order = Order(recipe.seed, len(data.indices))
    while state.step < recipe.steps:
        if should_stop():
            save(state)
            raise TrainingStopped(f"stopped at image {state.step * recipe.batch}; the state is saved")
        loss, norm = train_step(state, data, recipe, order, team)
        images = state.step * recipe.batch
        state.losses.append(loss)
        if recipe.passes(recipe.log_every, state.step) or state.step == recipe.steps:
            mean_loss = math.fsum(state.losses) / len(state.losses)
            row = {"images": images, "loss": mean_loss, "lr": learning_rate(recipe, images), "grad_norm": norm}
            state.history.append(row)
            state.losses.clear()
            log(images, {key: row[key] for key in ("loss", "lr", "grad_norm")})
        if recipe.passes(recipe.sample_every, state.step) or state.step == recipe.steps:
            preview(images, state)
        if recipe.passes(recipe.checkpoint_every, state.step) and state.step < recipe.steps:
            save(state)
    save(state)


def train_step(state: State, data: Data, recipe: Recipe, order: "Order", team: Team = ALONE) -> tuple[float, float]:
    """One optimiser step. Returns its mean loss and the norm of its gradient before clipping. Raises NotFiniteError."""
    denoiser, optimizer = state.denoiser, state.optimizer
    where = denoiser.sigmas.device
    denoiser.train()
    # dropout has no generator of its own
    torch.manual_seed(randomness.key_seed(recipe.seed, "dropout", state.step, *team.dropout_key()))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, state.step * recipe.batch)
    optimizer.zero_grad(set_to_none=True)
    loss_of = team.loss(denoiser)
    total, seen = 0.0, []
    for number, (x, u, noise, labels) in enumerate(batches(data, recipe, order, state.step, team), start=1):
        last = number == recipe.accumulation
        sigma = denoiser.process.draw(u).to(where)
        x = x.to(where)  # noqa: PLW2901  # the batch, where the network is
        condition = conditioning.low_resolution(x, recipe.condition_scale) if recipe.condition_scale else None
        with team.gathers(last):
            with autocast(where, recipe.precision):
                losses = loss_of(
                    x, sigma, noise.to(where), None if labels is None else labels.to(where), recipe.weighting, condition
                )
            loss = losses.mean() / recipe.accumulation
            total += loss.item()
            seen.append((losses.detach(), sigma))
            if last:
                total = team.mean(total)  # not finite in all processes if it is in one: they stop together
            if not math.isfinite(total) and (last or team.count == 1):
                all_losses, all_sigmas = (team.joined(torch.cat(each)) for each in zip(*seen, strict=True))
                raise NotFiniteError(_where_not_finite(all_losses, all_sigmas, state.step))
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    norm = full_tensor(torch.nn.utils.clip_grad_norm_(denoiser.parameters(), recipe.clip)).item()
    if not math.isfinite(norm):
        raise NotFiniteError(
            f"the gradient is not finite at step {state.step} (sigma from {sigma.min():.3g} to {sigma.max():.3g}). "
            "Lower train.lr or train.clip, or use precision fp32."
        )
    optimizer.step()
    state.step += 1
    average(state, recipe)
    return total, norm


def batches(
    data: Data, recipe: Recipe, order: "Order", step: int, team: Team = ALONE
) -> Iterable[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
    """The micro-batches of one step, this process's part of each: (x, u, noise, labels).

    The batch is drawn from (seed, step) alone, whole in every process, however many there are.

    u in [0, 1) says which level of noise; those of one batch are stratified: uniform, with less variance than
    independent ones (Kingma et al. 2021, appendix I.1).
    """
    generator = randomness.generator(recipe.seed, "batch", step)
    size = recipe.batch
    chosen = data.indices[order.at(step * size, size)]
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    u = (torch.arange(size) + offset) / size
    noise = torch.randn(size, *[data.images.shape[i] for i in (3, 1, 2)], generator=generator)
    flipped = torch.rand(size, generator=generator) < 0.5
    hidden = torch.rand(size, generator=generator) < recipe.label_dropout
    labels = None if data.labels is None else torch.where(hidden, data.null_label, data.labels[chosen])
    micro = size // recipe.accumulation
    share = micro // team.count
    for i in range(team.rank * share, size, micro):
        part = slice(i, i + share)
        x = to_tensor(data.images[chosen[part].to(data.images.device)])
        if recipe.flip:
            x = torch.where(flipped[part].view(-1, 1, 1, 1).to(x.device), x.flip(3), x)
        yield x, u[part], noise[part], None if labels is None else labels[part]


class Order:
    """The endless order of training images: a fresh permutation of `count` for every epoch, from (seed, epoch)."""

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


def learning_rate(recipe: Recipe, images: int) -> float:
    """Linear warm-up, flat, then linear to zero over the last `decay` share of the run."""
    rise = min(1.0, (images + recipe.batch) / recipe.warmup) if recipe.warmup else 1.0
    left = (recipe.steps * recipe.batch - images) / (recipe.steps * recipe.batch)
    fall = min(1.0, left / recipe.decay) if recipe.decay else 1.0
    return recipe.lr * min(rise, fall)


@torch.no_grad()
def average(state: State, recipe: Recipe) -> None:
    """Move the averaged weights towards the present ones (EMA).

    The horizon, in images, grows with a tenth of those seen until it reaches `recipe.ema`, so that first weights are
    forgotten in a short run too.
    """
    horizon = min(recipe.ema, state.step * recipe.batch / 10)
    weight = 1 - math.exp(-recipe.batch / horizon) if horizon else 1.0
    current = state.denoiser.state_dict()
    names = list(state.average)
    averages, present = ([local_tensor(each[name]) for name in names] for each in (state.average, current))
    torch._foreach_lerp_(averages, present, weight)


def _where_not_finite(losses: Tensor, sigmas: Tensor, step: int) -> str:
    bad = [
        f"{sigma:.4g}" for loss, sigma in zip(losses.tolist(), sigmas.tolist(), strict=True) if not math.isfinite(loss)
    ]
    return (
        f"the loss is not finite at step {step}, for sigma {', '.join(bad[:5])}. "
        "Lower train.lr or train.clip, or use precision fp32."
    )
