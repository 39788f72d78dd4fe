"""Held-out loss by noise level, measured during training with the EMA weights.

Images, noise and noise levels depend only on the seed, so every measurement of a training uses the same ones. Equally
many training images are measured alike: the difference is the generalisation gap. No global generator is used and the
weights are restored, so a training with measurements produces bit-identical weights.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ddpm.diffusion import conditioning
from ddpm.diffusion.denoiser import Denoiser
from ddpm.diffusion.process import midpoints
from ddpm.metrics.loss_gap import LEVELS, SETS, summary
from ddpm.runtime import randomness
from ddpm.runtime.device import autocast, uncompiled
from ddpm.runtime.sharded_tensors import local_tensor
from ddpm.training.batches import TrainingSet
from ddpm.training.config import TrainConfig
from ddpm.training.data_parallel import SINGLE_PROCESS, ProcessGroup
from ddpm.training.state import State

COST = 0.02
"""Share of the training's network passes that the measurements may add."""
PASSES = 3
"""Cost of training on an image in forward passes: one forward, and a backward of two."""
MEASUREMENTS = 10
"""Measurements of a short training; a long one has more, because the number of images per level is limited."""
FEWEST, MOST = 2, 128
"""Images per level in each of the two sets."""
CHUNK = 32
"""Images per forward pass, at most a micro-batch: independent of the number of processes, and so are the bits."""


class HeldoutLossError(ArithmeticError):
    """A held-out loss is not finite; the message gives step and remedy."""


@dataclass(frozen=True)
class Plan:
    """The schedule of measurements: at every `interval`-th log point and at the last step.

    images: per level, in each of the two sets.
    """

    images: int
    interval: int

    def due(self, config: TrainConfig, step: int) -> bool:
        """Return True if the step that ends at `step` is measured; depends on the step only."""
        return step == config.steps or config.passes(config.log_every * self.interval, step)


def plan(config: TrainConfig) -> Plan:
    """Choose number of images and interval so that the measurements cost about COST of the training.

    FEWEST images suffice for a mean with its error; the last step is always measured.
    """
    budget = COST * PASSES * config.images  # forward passes
    images = min(MOST, max(FEWEST, int(budget / (MEASUREMENTS * LEVELS * len(SETS)))))
    between = LEVELS * len(SETS) * images / (COST * PASSES)  # training images that pay for one measurement
    return Plan(images, max(1, math.ceil(between / config.log_every)))


class HeldoutLoss:
    """The measurement of one training. heldout: indices of images in `data` that are never trained on."""

    def __init__(self, data: TrainingSet, heldout: Tensor, config: TrainConfig, schedule: Plan | None = None) -> None:
        self.data, self.config = data, config
        self.plan = schedule or plan(config)
        count = LEVELS * self.plan.images
        chosen = dict(zip(SETS, (heldout, data.indices), strict=True))
        self.items = torch.cat([_choice(config.seed, name, chosen[name], count) for name in SETS])

    def due(self, step: int) -> bool:
        """Return True if the step that ends at `step` is measured."""
        return self.plan.due(self.config, step)

    def measure(self, state: State, group: ProcessGroup = SINGLE_PROCESS) -> dict[str, float]:
        """Measure both losses, their gap and its standard error (`loss_gap.COLUMNS`), equal in every process.

        Each process computes equally many whole chunks, because a sharded model needs all processes in every forward
        pass. Raises HeldoutLossError in every process.
        """
        size = min(CHUNK, self.config.batch // self.config.accumulation)
        rounds = math.ceil(len(self.items) / (size * group.count))
        with ema_weights(state, group), torch.no_grad():
            mine = torch.stack(
                [self._losses(state.denoiser, i * group.count + group.rank, size) for i in range(rounds)]
            )
        by_rank = group.all_gather(mine.cpu()).view(group.count, rounds, size)
        losses = by_rank.transpose(0, 1).flatten()[: len(self.items)]
        if not losses.isfinite().all():
            raise HeldoutLossError(
                f"the held-out loss is not finite at step {state.step}. Lower train.lr, or use precision fp32."
            )
        by_set = losses.double().view(len(SETS), LEVELS, self.plan.images)
        return summary({name: each.tolist() for name, each in zip(SETS, by_set, strict=True)})

    def _losses(self, denoiser: Denoiser, number: int, size: int) -> Tensor:
        """Compute the losses (size,) of chunk `number`; a chunk that exceeds the items wraps around to the first."""
        count, where, data = len(self.items) // len(SETS), denoiser.sigmas.device, self.data
        places = torch.arange(number * size, (number + 1) * size) % len(self.items)
        chosen = self.items[places]
        x = data.encode(data.images[chosen.to(data.images.device)]).to(where)
        noise = torch.stack([self._noise(int(place) % count, x.shape[1:]) for place in places])
        sigma = midpoints(denoiser.process, LEVELS)[(places % count) // self.plan.images]
        labels = None if data.labels is None else data.labels[chosen].to(where)
        scale = self.config.condition_scale
        condition = conditioning.low_resolution(x, scale) if scale else None
        with autocast(where, self.config.precision):
            return denoiser.loss(x, sigma.to(where), noise.to(where), labels, self.config.weighting, condition)

    def _noise(self, place: int, shape: torch.Size) -> Tensor:
        """Draw the noise of an item; held-out and training images have the same noise."""
        return torch.randn(shape, generator=randomness.generator(self.config.seed, "held-out noise", place))


@contextlib.contextmanager
def ema_weights(state: State, group: ProcessGroup = SINGLE_PROCESS) -> Iterator[None]:
    """Run with the EMA weights, in evaluation mode and uncompiled; restore the network's own weights bit by bit."""
    current, training = state.denoiser.state_dict(), state.denoiser.training
    own, averaged = ([local_tensor(each[name]) for name in state.ema] for each in (current, state.ema))
    kept = [tensor.clone() for tensor in own]
    group.reshard()  # discards gathered weights of a sharded model, which are those before the copy
    try:
        _copy(own, averaged)
        state.denoiser.eval()
        with uncompiled(state.denoiser.net):  # a graph of another batch size could replace that of training
            yield
    finally:
        _copy(own, kept)
        group.reshard()
        state.denoiser.train(training)


@torch.no_grad()
def _copy(to: list[Tensor], source: list[Tensor]) -> None:
    torch._foreach_copy_(to, source)


def _choice(seed: int, name: str, indices: Tensor, count: int) -> Tensor:
    """Choose `count` of the indices in an order that depends on the seed; a small set is repeated.

    Raises ValueError for an empty set.
    """
    if len(indices) == 0:
        raise ValueError(f"there are no {name} images to measure the loss of. Raise prepare.holdout, or add images.")
    order = torch.randperm(len(indices), generator=randomness.generator(seed, "held-out loss", name))
    return indices[order[torch.arange(count) % len(order)]]
