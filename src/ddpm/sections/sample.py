"""Section sample: how images are drawn."""

from typing import Literal

from pydantic import Field

from ddpm.sections.base import Count, Section, Seed

Sampler = Literal["ddpm", "ddim", "dpm-solver++"]
Spacing = Literal["uniform", "trailing", "quadratic", "log-snr"]


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
