"""Section train: the optimisation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ddpm.config.sections.base import Batch, Count, Fraction, Place, Section, Seed


class Train(Section):
    """The optimisation, counted in images."""

    seed: Seed
    initial: Place
    images: Count
    batch: Batch
    accumulation: Count
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: float = Field(gt=0, le=10)
    warmup: int = Field(ge=0)
    decay: Fraction
    weight_decay: float = Field(ge=0, le=10)
    beta2: float = Field(gt=0, lt=1)
    clip: float = Field(gt=0, le=1e9)
    ema: int = Field(ge=0, le=10**12)
    label_dropout: Fraction
    flip: bool
    precision: Literal["fp32", "bf16"]
    compile: bool
    channels_last: bool
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)]
    sharding: Literal["none", "full"]
    log_every: Count
    sample_every: Count
    checkpoint_every: Count
    keep: int = Field(ge=2, le=100)

    @model_validator(mode="after")
    def batch_divides(self) -> Self:
        """Every micro-batch has the same size, and the budget holds at least one batch."""
        if self.batch % self.accumulation:
            raise ValueError(f"accumulation = {self.accumulation} must divide batch = {self.batch}")
        if self.images < self.batch:
            raise ValueError(f"images = {self.images} is below one batch = {self.batch}")
        if self.warmup > self.images:
            raise ValueError(f"warmup = {self.warmup} exceeds images = {self.images}")
        if isinstance(self.processes, int):
            self._processes_share(self.processes)
        if self.sharding == "full" and self.channels_last:
            raise ValueError("sharding: full needs channels_last: false (FSDP divides rows of contiguous weights)")
        return self

    def _processes_share(self, processes: int) -> None:
        """A stated number of processes takes equal parts of every micro-batch, or of the model."""
        if self.batch % (self.accumulation * processes):
            raise ValueError(
                f"{processes} processes cannot share train.batch = {self.batch} equally in accumulation = "
                f"{self.accumulation} parts: it must be a multiple of {self.accumulation * processes}"
            )
        if self.sharding == "full" and processes == 1:
            raise ValueError(
                "sharding: full divides the model among processes, and there is one. Raise train.processes, or use auto"
            )
