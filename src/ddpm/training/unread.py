"""Losses and gradient norms of steps, which stay on their device until the host needs them."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ddpm.training.data_parallel import ProcessGroup


class NotFiniteError(ArithmeticError):
    """The loss or the gradient is not finite; the message gives step and sigma."""


@dataclass(frozen=True)
class StepValues:
    """Values of one step on its device: this process's mean loss and the norm of the gradient, both scalars.

    losses, sigmas: (B,), of each image.
    """

    step: int
    loss: Tensor
    norm: Tensor
    losses: Tensor
    sigmas: Tensor


@dataclass
class UnreadSteps:
    """Steps whose values the host has not read. norm: of the gradient in the last step that was read."""

    group: ProcessGroup
    norm: float = math.nan
    steps: list[StepValues] = field(default_factory=list)

    def add(self, values: StepValues) -> None:
        """Keep the values of a step."""
        self.steps.append(values)

    def read(self) -> list[float]:
        """Wait for the device; return the mean loss of each step over all processes, and forget the steps.

        Raises NotFiniteError in every process, for the first step whose loss or gradient is not finite.
        """
        if not self.steps:
            return []
        values = torch.stack([torch.stack([each.loss.float(), each.norm.float()]) for each in self.steps])
        losses, norms = self.group.all_reduce_mean(values.cpu().double()).T.tolist()
        for step, loss, norm in zip(self.steps, losses, norms, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise NotFiniteError(self._reason(step, loss))
        self.norm = norms[-1]
        self.steps.clear()
        return list(losses)

    def _reason(self, step: StepValues, loss: float) -> str:
        """The message for a step that is not finite."""
        losses, sigmas = (self.group.all_gather(each.cpu()) for each in (step.losses, step.sigmas))
        remedy = "Nothing was saved since. Lower train.lr or train.clip, or use precision fp32."
        if math.isfinite(loss):
            levels = f"sigma from {sigmas.min():.3g} to {sigmas.max():.3g}"
            return f"the gradient is not finite at step {step.step} ({levels}). {remedy}"
        bad = [f"{sigma:.4g}" for sigma in sigmas[~losses.isfinite()].tolist()]
        return f"the loss is not finite at step {step.step}, for sigma {', '.join(bad[:5])}. {remedy}"
