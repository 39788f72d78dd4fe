"""Section sample: how images are drawn."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ddpm.config.sections.base import Batch, Count, Fraction, Place, Section, Seed
from ddpm.sampling.options import NAMES, Sampler, Sampling, Spacing, Variance

Level = Annotated[float, Field(ge=0)]


class Sample(Section):
    """How images are drawn from the trained model."""

    count: Count
    seed: Seed
    sampler: Sampler
    steps: Count
    spacing: Spacing
    eta: float = Field(ge=0, le=1)
    variance: Variance
    churn: float = Field(ge=0, le=1e6)
    churn_min: float = Field(ge=0)
    churn_max: float | None = Field(ge=0)
    churn_noise: float = Field(ge=0, le=100)
    corrections: int = Field(ge=0, le=1000)
    snr: float = Field(ge=0, le=1)
    tolerance: float = Field(ge=1e-12, le=0.1)
    guidance: float = Field(ge=0, le=100)
    guidance_interval: tuple[Level, Level] | None
    guidance_rescale: Fraction
    guide: Place
    clamp: bool
    batch: Batch
    strip: int = Field(ge=2, le=64)

    @property
    def sampling(self) -> Sampling:
        """The choices that shape an image, as plain values."""
        return Sampling(**self.model_dump(include=set(NAMES)))

    @property
    def drawing(self) -> dict[str, Any]:
        """The other arguments of `sampling.to_folder.sample_to_folder`: how many, from which seed, with which guide."""
        return {
            "count": self.count,
            "seed": self.seed,
            "batch": self.batch,
            "strip_length": self.strip,
            "guide_folder": self.guide,
            "conditions": self.model_dump(exclude={"guide"}),
        }

    @model_validator(mode="after")
    def choices_agree(self) -> Self:
        """An option of one sampler is not given to another, nor one of guidance without guidance."""
        _ = self.sampling
        if self.guide and self.guidance == 1:
            raise ValueError(
                f'guide = {self.guide!r} has no use at guidance = 1: use another guidance, such as 2, or guide: ""'
            )
        return self
