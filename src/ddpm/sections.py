"""The sections of params.yaml: each key with its type, its range, and the rules within the section.

Frozen and strict: no unknown keys, no conversions, no changes afterwards. The rules between sections are in `params`.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Count = Annotated[int, Field(ge=1)]
Sampler = Literal["ddpm", "ddim", "dpm-solver++"]
Spacing = Literal["uniform", "trailing", "quadratic", "log-snr"]


class Section(BaseModel):
    """What every section shares: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Prepare(Section):
    """From a folder of image files to one array."""

    resolution: int = Field(ge=4, le=1024)
    channels: Literal[1, 3]
    labels: Literal["folders", "none"]
    background: int = Field(ge=0, le=255)
    holdout: float = Field(gt=0, lt=0.9)
    max_pixels: Count
    max_bad_fraction: Fraction
    near_duplicate: float = Field(ge=0, le=64)


class Features(Section):
    """What evaluation looks at images with."""

    extractor: Literal["classifier", "inception"]
    weights: str
    images: Count
    batch: Count
    width: int = Field(ge=4, le=1024, multiple_of=4)
    lr: float = Field(gt=0, le=1)
    seed: Seed


class Diffusion(Section):
    """The forward process and what the network predicts."""

    steps: int = Field(ge=1, le=5000)
    schedule: Literal["linear", "cosine", "quadratic", "sigmoid"]
    beta_start: float = Field(gt=0, lt=1)
    beta_end: float = Field(gt=0, lt=1)
    prediction: Literal["eps", "x0", "v", "edm"]
    sigma_data: float = Field(gt=0, le=10)
    weighting: Literal["noise", "output"]

    @model_validator(mode="after")
    def betas_ascend(self) -> Self:
        """The noise has to grow."""
        if self.beta_start >= self.beta_end:
            raise ValueError(f"beta_start = {self.beta_start} must be below beta_end = {self.beta_end}")
        return self


class Net(Section):
    """The U-Net."""

    channels: int = Field(ge=8, le=1024)
    multipliers: tuple[Count, ...] = Field(min_length=1, max_length=8)
    blocks: int = Field(ge=1, le=16)
    attention: tuple[Count, ...]
    head_channels: int = Field(ge=1, le=512)
    groups: Count
    scale_shift: bool
    dropout: float = Field(ge=0, lt=1)
    patch: Literal[1, 2, 4]

    @property
    def downsampling(self) -> int:
        """By how much the side of an image shrinks from input to the deepest level."""
        return int(self.patch * 2 ** (len(self.multipliers) - 1))

    @model_validator(mode="after")
    def widths_divide(self) -> Self:
        """GroupNorm needs whole groups."""
        for multiplier in self.multipliers:
            width = self.channels * multiplier
            if width % self.groups:
                raise ValueError(
                    f"groups = {self.groups} must divide every level's width; channels * {multiplier} = {width}"
                )
        return self


class Train(Section):
    """The optimisation, counted in images."""

    seed: Seed
    images: Count
    batch: Count
    accumulation: Count
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: float = Field(gt=0, le=10)
    warmup: int = Field(ge=0)
    decay: Fraction
    weight_decay: float = Field(ge=0, le=10)
    beta2: float = Field(gt=0, lt=1)
    clip: float = Field(gt=0)
    ema: int = Field(ge=0)
    label_dropout: Fraction
    flip: bool
    precision: Literal["fp32", "bf16"]
    compile: bool
    channels_last: bool
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
        return self


class Sample(Section):
    """How images are drawn from the trained model."""

    count: Count
    seed: Seed
    sampler: Sampler
    steps: Count
    spacing: Spacing
    eta: float = Field(ge=0, le=1)
    variance: Literal["small", "large"]
    guidance: float = Field(ge=0, le=100)
    clamp: bool
    batch: Count
    strip: int = Field(ge=2, le=64)


class Evaluate(Section):
    """Scores and pictures."""

    splits: Count
    neighbours: Count
    grid: int = Field(ge=1, le=64)


class Promote(Section):
    """The gate between a registered model and the champion. A limit that is null does not apply."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    max_fid: float | None = Field(gt=0)
    min_inception_score: float | None = Field(ge=1)
    min_class_share: float | None = Field(ge=0, le=1)
    min_improvement: float = Field(ge=0)


class Flow(Section):
    """The workflow around the stages."""

    time_limit: int = Field(ge=1)
    retries: int = Field(ge=0, le=10)
    cron: str
