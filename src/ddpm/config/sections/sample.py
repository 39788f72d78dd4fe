"""Section sample: the sampling of images."""

import math
from typing import Any, Self

from pydantic import Field, model_validator

from ddpm.config.sections.base import GRAPHS, Batch, Compile, Count, Place, Precision, Section, Seed
from ddpm.sampling.options import NAMES, OPTIONS, Sampler, Sampling, Spacing, Variance, default


def option(name: str, tuned: Any = None) -> Any:
    """Make a field with range, description and default (unless tuned) of a sampler option."""
    found = OPTIONS[name]
    most = found.most if found.most < math.inf else None
    text = f"{found.description}; null: {found.none}" if found.none else found.description
    return Field(default(name) if tuned is None else tuned, ge=found.least, le=most, description=text)


class Sample(Section):
    """Sampling from the trained model. The sampler options are defined in `sampling.options`."""

    count: Count = Field(2000, description="number of images")
    seed: Seed = Field(0, description="image i is generated from seed + i")
    sampler: Sampler = option("sampler")
    steps: Count = option("steps", 12)
    spacing: Spacing = option("spacing")
    eta: float = option("eta")
    variance: Variance = option("variance")
    churn: float = option("churn")
    churn_min: float = option("churn_min")
    churn_max: float | None = option("churn_max")
    churn_noise: float = option("churn_noise")
    corrections: int = option("corrections")
    snr: float = option("snr")
    tolerance: float = option("tolerance")
    guidance: float = option("guidance", 1.35)
    guidance_interval: tuple[float, float] | None = option("guidance_interval", (0.3, 100.0))
    guidance_rescale: float = option("guidance_rescale")
    guide: Place = Field("", description='checkpoint folder of a weaker model for autoguidance; "": none')
    clamp: bool = option("clamp")
    batch: Batch = Field(250, description="images per batch")
    precision: Precision = Field("fp32", description="fp32, tf32 (NVIDIA GPUs), or bf16 autocast")
    compile: Compile = Field(False, description=f"torch.compile, takes minutes, worthwhile on GPUs; {GRAPHS}")
    strip: int = Field(10, ge=2, le=64, description="frames of the denoising strip, from noise to image")

    @property
    def sampling(self) -> Sampling:
        """The sampler options."""
        return Sampling(**self.model_dump(include=set(NAMES)))

    @property
    def drawing(self) -> dict[str, Any]:
        """The other arguments of `sampling.to_folder.sample_to_folder`."""
        return {
            "count": self.count,
            "seed": self.seed,
            "batch": self.batch,
            "strip_length": self.strip,
            "guide_folder": self.guide,
            "precision": self.precision,
            "compiling": self.compile,
            "conditions": self.model_dump(exclude={"guide"}),
        }

    @model_validator(mode="after")
    def choices_agree(self) -> Self:
        """Apply the rules between sampler options, and refuse a guide without guidance."""
        _ = self.sampling
        if self.guide and self.guidance == 1:
            raise ValueError(
                f'guide = {self.guide!r} has no effect with guidance = 1: use another guidance, such as 2, or guide: ""'
            )
        return self
