"""Section diffusion: the forward process and what the network predicts."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ddpm.sections.base import Section


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
