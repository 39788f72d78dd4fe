"""What a training prints at its start: where and what it computes, and how long it will take."""

import time
from collections.abc import Callable, Mapping

import torch

from ddpm.common import units
from ddpm.training.config import TrainConfig

SKIPPED = 2
"""First steps that are not timed: they fill caches and compile."""
MOST_STEPS, SECONDS = 20, 10.0
"""End of the timing, whichever is reached first."""


def lines(
    config: TrainConfig, machine: Mapping[str, str], net: str, module: torch.nn.Module, examples: int
) -> list[str]:
    """Describe a training in two lines: machine and precision; network, images and epochs.

    machine: its tags `ddpm.*`. net: kind of network. module: the network. examples: images to train on.
    """
    cores = int(machine["ddpm.threads"])
    processes = int(machine.get("ddpm.processes", "1"))
    where = [machine["ddpm.device"], machine["ddpm.cpu"], f"{cores} thread{'' if cores == 1 else 's'}"]
    where += [f"{processes} processes"] if processes > 1 else []
    epochs = units.number(config.steps * config.batch / examples)
    return [
        f"train: on {', '.join(where)}; {config.precision}, torch {machine['ddpm.torch']}",
        f"train: {net} of {units.count(parameters(module))} parameters; {config.steps * config.batch:,} images, "
        f"{epochs} epochs of {examples:,}",
    ]


def parameters(module: torch.nn.Module) -> int:
    """Count the parameters of a module, of all processes if they share them."""
    return sum(each.numel() for each in module.parameters())


class FirstSteps:
    """Times the first steps of a training and reports the duration of the rest, once.

    Called before each step with the number of steps taken. Waits for the device when the timing begins and ends, which
    has no effect on the training.
    """

    def __init__(self, config: TrainConfig, where: torch.device, report: Callable[[str], None]) -> None:
        self.config, self.where, self.report = config, where, report
        self.first: int | None = None
        self.began = 0.0
        self.reported = False

    def __call__(self, step: int) -> None:
        """Begin, continue or end the timing."""
        if self.reported:
            return
        if self.first is None:
            self.first = step + SKIPPED
        timed = step - self.first
        if timed == 0:
            self.began = self._now()
        elif timed == MOST_STEPS or (timed > 0 and time.monotonic() - self.began >= SECONDS):
            self.reported = True
            self.report(self._estimate(step, timed))

    def _now(self) -> float:
        """Return the time at which all work given to the device is done."""
        if self.where.type == "cuda":
            torch.cuda.synchronize(self.where)
        return time.monotonic()

    def _estimate(self, step: int, timed: int) -> str:
        seconds = (self._now() - self.began) / timed
        left = units.duration((self.config.steps - step) * seconds)
        return f"train: about {left} left, by {timed} timed steps ({units.rate(self.config.batch / seconds)})"
