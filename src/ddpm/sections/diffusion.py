"""Section diffusion: the forward process, with the keys of its kind, and what the network predicts."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ddpm.sections.base import Section

Level = Annotated[float, Field(gt=0, le=10000)]


class Process(Section):
    """What every process has."""

    steps: int = Field(ge=1, le=5000)
    prediction: Literal["eps", "x0", "v", "score", "edm"]
    sigma_data: float = Field(gt=0, le=10)
    weighting: Literal["simple", "snr", "truncated-snr", "min-snr", "p2", "edm", "output"]
    condition: Literal["none", "low-resolution-2", "low-resolution-4"]

    @property
    def shrinks_by(self) -> int:
        """By how much the image that is joined to the input is smaller; 1 where there is none."""
        return {"none": 1, "low-resolution-2": 2, "low-resolution-4": 4}[self.condition]


class Ddpm(Process):
    """A chain of T steps (Ho et al. 2020)."""

    process: Literal["ddpm"]
    schedule: Literal["linear", "scaled-linear", "cosine", "quadratic", "sigmoid"]
    beta_start: float = Field(gt=0, lt=1)
    beta_end: float = Field(gt=0, lt=1)
    variance: Literal["fixed", "learned"]

    @model_validator(mode="after")
    def betas_ascend(self) -> Self:
        """The noise has to grow."""
        if self.beta_start >= self.beta_end:
            raise ValueError(f"beta_start = {self.beta_start} must be below beta_end = {self.beta_end}")
        return self


class VpSde(Process):
    """The variance-preserving SDEs (Song et al. 2021)."""

    process: Literal["vp-sde", "sub-vp-sde"]
    schedule: Literal["linear"]
    beta_min: float = Field(gt=0, le=1000)
    beta_max: float = Field(gt=0, le=1000)

    @model_validator(mode="after")
    def betas_ascend(self) -> Self:
        """The noise has to grow."""
        if self.beta_min >= self.beta_max:
            raise ValueError(f"beta_min = {self.beta_min} must be below beta_max = {self.beta_max}")
        return self


class Levels(Process):
    """The processes that only add noise, between two levels."""

    sigma_min: Level
    sigma_max: Level

    @model_validator(mode="after")
    def levels_ascend(self) -> Self:
        """The noise has to grow."""
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min = {self.sigma_min} must be below sigma_max = {self.sigma_max}")
        return self


class VeSde(Levels):
    """The variance-exploding SDE (Song et al. 2021)."""

    process: Literal["ve-sde"]
    schedule: Literal["geometric"]


class Edm(Levels):
    """Karras et al. 2022."""

    process: Literal["edm"]
    schedule: Literal["karras"]
    p_mean: float = Field(ge=-10, le=10)
    p_std: float = Field(gt=0, le=10)


Diffusion = Annotated[Ddpm | VpSde | VeSde | Edm, Field(discriminator="process")]
