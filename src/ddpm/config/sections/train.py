"""Section train: the optimisation."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ddpm.config.sections.base import GRAPHS, Batch, Compile, Count, Fraction, Place, Precision, Section, Seed

FEWEST_SNAPSHOTS = 4
"""Minimum to choose the length of the average."""


class Train(Section):
    """The optimisation, counted in images."""

    seed: Seed = Field(0, description="initialisation, data order, noise and dropout")
    initial: Place = Field(
        "", description='checkpoint folder whose EMA weights training starts from (fine-tuning); "": none'
    )
    objective: Literal["denoising", "consistency"] = Field(
        "denoising", description="denoising; consistency: distil the teacher, train.initial, into few sampling steps"
    )
    hops: int = Field(
        16, ge=1, le=5000, description="consistency: steps in which the student follows the teacher's flow"
    )
    teacher_guidance: float = Field(
        1.35, ge=0, le=100, description="consistency: guidance scale w of the teacher; 1: no guidance"
    )
    images: Count = Field(89_600, description="budget: training images seen")
    batch: Batch = Field(32, description="images per optimiser step")
    accumulation: Count = Field(1, description="micro-batches per optimiser step")
    optimizer: Literal["adam", "adamw", "sgd", "muon"] = Field(
        "muon", description="optimiser: adam, adamw, sgd; muon: of hidden layers, with adamw for the rest"
    )
    lr: float = Field(0.002, gt=0, le=10, description="peak learning rate")
    muon_lr: float = Field(0.02, gt=0, le=10, description="muon: peak learning rate of hidden layers")
    warmup: int = Field(1600, ge=0, description="images of linear learning-rate warmup")
    decay: Fraction = Field(0.5, description="final share of the training over which the learning rate decays to zero")
    weight_decay: float = Field(0.0, ge=0, le=10, description="decoupled for adamw and muon")
    beta2: float = Field(0.99, gt=0, lt=1, description="adam, adamw, muon: decay of the squared-gradient average")
    clip: float = Field(1.0, gt=0, le=1e9, description="gradient clipping: largest norm")
    ema: Literal["auto"] | Annotated[int, Field(ge=0, le=10**12)] = Field(
        9600,
        description="EMA of the weights: e-folding length in images; 0: none; auto: chosen by held-out loss",
    )
    snapshots: int = Field(
        12, ge=0, le=1000, description="snapshots for post-hoc EMA (`ddpm ema`), of two averages each; 0: none"
    )
    label_dropout: Fraction = Field(0.1, description="probability of dropping the label, for classifier-free guidance")
    flip: bool = Field(False, description="random horizontal flips")
    precision: Precision = Field("fp32", description="fp32, tf32 (NVIDIA GPUs), or bf16 autocast")
    deterministic: bool = Field(
        True, description="repeatable to the bit on one machine; false: faster kernels on GPUs (cuDNN benchmark)"
    )
    compile: Compile = Field(False, description=f"torch.compile, takes minutes, worthwhile on GPUs; {GRAPHS}")
    channels_last: bool = Field(True, description="channels-last memory format")
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        "auto", description="number of processes (torchrun); auto: one per GPU, or one"
    )
    sharding: Literal["none", "full"] = Field(
        "none", description="none: replicate the model (DDP); full: shard it over the processes (FSDP)"
    )
    log_every: Count = Field(1600, description="images between log lines")
    sample_every: Count = Field(14_400, description="images between sample grids")
    checkpoint_every: Count = Field(6400, description="images between resumable checkpoints")
    keep: int = Field(2, ge=2, le=100, description="resumable checkpoints kept")

    @model_validator(mode="after")
    def batch_divides(self) -> Self:
        """Check that micro-batches are equal, and that the budget has at least one batch."""
        if self.batch % self.accumulation:
            raise ValueError(f"accumulation = {self.accumulation} must divide batch = {self.batch}")
        if self.images < self.batch:
            raise ValueError(f"images = {self.images} is below one batch = {self.batch}")
        if self.warmup > self.images:
            raise ValueError(f"warmup = {self.warmup} exceeds images = {self.images}")
        if self.ema == "auto" and self.snapshots < FEWEST_SNAPSHOTS:
            raise ValueError(
                f"ema: auto needs at least {FEWEST_SNAPSHOTS} snapshots, and snapshots = {self.snapshots}. Raise it, "
                "or give ema a number"
            )
        self._objective_is_possible()
        self._graphs_are_possible()
        if isinstance(self.processes, int):
            self._processes_share(self.processes)
        if self.sharding == "full" and self.channels_last:
            raise ValueError("sharding: full needs channels_last: false (FSDP divides rows of contiguous weights)")
        return self

    def _objective_is_possible(self) -> None:
        """Refuse a consistency model without teacher, or with what its loss cannot do."""
        if self.objective == "denoising":
            return
        if not self.initial:
            raise ValueError(
                "objective: consistency distils a trained model: name its checkpoint folder as initial, such as a copy "
                "of out/train/model"
            )
        if self.ema == "auto":
            raise ValueError(
                "ema: auto chooses by the held-out loss of a denoiser, which objective: consistency does not lower; "
                "give ema a number"
            )
        if self.compile == "reduce-overhead":
            raise ValueError(
                "compile: reduce-overhead needs objective: denoising: the second network pass of a consistency loss "
                "would overwrite the first. Use compile: true"
            )

    def _graphs_are_possible(self) -> None:
        """Refuse CUDA graphs where a graph would overwrite gradients, or find the weights elsewhere."""
        if self.compile != "reduce-overhead":
            return
        if self.accumulation > 1:
            raise ValueError(
                f"compile: reduce-overhead needs accumulation = 1, and it is {self.accumulation}: a second pass would "
                "overwrite the gradients of the first. Use compile: true"
            )
        if self.sharding == "full" or (isinstance(self.processes, int) and self.processes > 1):
            raise ValueError("compile: reduce-overhead is for one process and sharding: none. Use compile: true")

    def _processes_share(self, processes: int) -> None:
        """Check that a given number of processes divides every micro-batch, and the model if sharded."""
        if self.batch % (self.accumulation * processes):
            raise ValueError(
                f"{processes} processes cannot share train.batch = {self.batch} equally in accumulation = "
                f"{self.accumulation} parts: it must be a multiple of {self.accumulation * processes}"
            )
        if self.sharding == "full" and processes == 1:
            raise ValueError(
                "sharding: full divides the model among processes, but there is one. Raise train.processes, or use auto"
            )
