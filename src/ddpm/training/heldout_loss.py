"""Held-out loss by noise level, measured during training with the EMA weights.

The images, their noise and the noise levels derive from the seed, so every measurement of a training uses the same
ones. An equal number of training images is measured in the same way: the difference is the generalisation gap. Nothing
draws from a global generator and the weights are put back, so measuring does not change the training by a bit.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ddpm.diffusion import conditioning
from ddpm.diffusion.denoiser import Denoiser
from ddpm.diffusion.pixels import to_tensor
from ddpm.diffusion.process import midpoints
from ddpm.metrics.loss_gap import LEVELS, SETS, summary
from ddpm.runtime import randomness
from ddpm.runtime.device import autocast
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
"""Measurements of a short training; a long one has more, since the number of images per level is limited."""
FEWEST, MOST = 2, 128
"""Images per level in each of the two sets."""
CHUNK = 32
"""Images per forward pass, at most a micro-batch: independent of the number of processes, and so are the bits."""


class HeldoutLossError(ArithmeticError):
    """A held-out loss is not finite; the message gives step and remedy."""


@dataclass(frozen=True)
class Plan:
    """When and on how many images to measure: at every `interval`-th log point and at the last step.

    images: per level, in each of the two sets.
    """

    images: int
    interval: int

    def due(self, config: TrainConfig, step: int) -> bool:
        """Whether the step that ends at `step` is measured; the answer is a function of the step alone."""
        return step == config.steps or config.passes(config.log_every * self.interval, step)


def plan(config: TrainConfig) -> Plan:
    """Number of images and interval at which the measurements cost about COST of the training.

    The fewest images suffice for a mean with its error; the last step is measured however short the training is.
    """
    budget = COST * PASSES * config.images  # forward passes
    images = min(MOST, max(FEWEST, int(budget / (MEASUREMENTS * LEVELS * len(SETS)))))
    between = LEVELS * len(SETS) * images / (COST * PASSES)  # training images that pay for one measurement
    return Plan(images, max(1, math.ceil(between / config.log_every)))


class HeldoutLoss:
    """The measurement of one training. data: its images, of which `heldout` are indices of those never trained on."""

    def __init__(self, data: TrainingSet, heldout: Tensor, config: TrainConfig, schedule: Plan | None = None) -> None:
        self.data, self.config = data, config
        self.plan = schedule or plan(config)
        count = LEVELS * self.plan.images
        chosen = dict(zip(SETS, (heldout, data.indices), strict=True))
        self.items = torch.cat([_choice(config.seed, name, chosen[name], count) for name in SETS])

    def due(self, step: int) -> bool:
        """Whether the step that ends at `step` is measured."""
        return self.plan.due(self.config, step)

    def measure(self, state: State, group: ProcessGroup = SINGLE_PROCESS) -> dict[str, float]:
        """Both losses, their gap and its standard error (`loss_gap.COLUMNS`); the same numbers in every process.

        Each process computes whole chunks, and equally many of them, as a divided model needs all processes in every
        forward pass. Raises HeldoutLossError in every process.
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
        parts = losses.double().view(len(SETS), LEVELS, self.plan.images)
        return summary({name: part.tolist() for name, part in zip(SETS, parts, strict=True)})

    def _losses(self, denoiser: Denoiser, number: int, size: int) -> Tensor:
        """Losses (size,) of chunk `number`; a chunk that reaches beyond the last item goes on with the first."""
        count, where, data = len(self.items) // len(SETS), denoiser.sigmas.device, self.data
        places = torch.arange(number * size, (number + 1) * size) % len(self.items)
        chosen = self.items[places]
        x = to_tensor(data.images[chosen.to(data.images.device)]).to(where)
        noise = torch.stack([self._noise(int(place) % count, x.shape[1:]) for place in places])
        sigma = midpoints(denoiser.process, LEVELS)[(places % count) // self.plan.images]
        labels = None if data.labels is None else data.labels[chosen].to(where)
        scale = self.config.condition_scale
        condition = conditioning.low_resolution(x, scale) if scale else None
        with autocast(where, self.config.precision):
            return denoiser.loss(x, sigma.to(where), noise.to(where), labels, self.config.weighting, condition)

    def _noise(self, place: int, shape: torch.Size) -> Tensor:
        """Noise of an item; those of held-out and training images are the same."""
        return torch.randn(shape, generator=randomness.generator(self.config.seed, "held-out noise", place))


@contextlib.contextmanager
def ema_weights(state: State, group: ProcessGroup = SINGLE_PROCESS) -> Iterator[None]:
    """Give the network its EMA weights, in evaluation mode and without compilation, then its own back, to the bit."""
    current, training = state.denoiser.state_dict(), state.denoiser.training
    own, averaged = ([local_tensor(each[name]) for name in state.ema] for each in (current, state.ema))
    kept = [tensor.clone() for tensor in own]
    group.reshard()  # what a process has gathered of a divided model is of the weights before
    try:
        _copy(own, averaged)
        state.denoiser.eval()
        with _uncompiled(state.denoiser):
            yield
    finally:
        _copy(own, kept)
        group.reshard()
        state.denoiser.train(training)


@torch.no_grad()
def _copy(to: list[Tensor], source: list[Tensor]) -> None:
    torch._foreach_copy_(to, source)


def _uncompiled(denoiser: Denoiser) -> contextlib.AbstractContextManager[object]:
    """Run a compiled network eagerly: a graph of another batch size could replace the one that training uses."""
    if getattr(denoiser.net, "_compiled_call_impl", None) is None:
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _choice(seed: int, name: str, indices: Tensor, count: int) -> Tensor:
    """`count` of the indices, in an order that derives from the seed; a small set is gone through several times.

    Raises ValueError for an empty set.
    """
    if len(indices) == 0:
        raise ValueError(f"there are no {name} images to measure the loss of. Raise prepare.holdout, or add images.")
    order = torch.randperm(len(indices), generator=randomness.generator(seed, "held-out loss", name))
    return indices[order[torch.arange(count) % len(order)]]
