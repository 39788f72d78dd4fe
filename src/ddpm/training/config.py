"""Settings of the training loop."""

import math
from dataclasses import dataclass

from ddpm.model import power_ema


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
    snapshots: int = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run; the last one may exceed the budget by part of a batch."""
        return math.ceil(self.images / self.batch)

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """Steps that write a snapshot of the power-function averages; empty without snapshots."""
        return power_ema.snapshot_steps(self.steps, self.snapshots) if self.snapshots else ()

    def require_shares(self, processes: int) -> None:
        """Raise ValueError if `processes` do not divide each micro-batch equally."""
        if self.batch % (self.accumulation * processes):
            raise ValueError(
                f"{processes} processes cannot share train.batch = {self.batch} equally in train.accumulation = "
                f"{self.accumulation} parts: it must be a multiple of {self.accumulation * processes}. "
                "Change one of them, or train.processes."
            )

    def passes(self, every: int, step: int) -> bool:
        """Return True if the step that ends at `step` crosses a multiple of `every` images."""
        return step * self.batch // every > (step - 1) * self.batch // every
