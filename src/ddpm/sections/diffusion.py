"""Section diffusion: the forward process, with the keys of its kind, and what the network predicts."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ddpm.sections.base import Section

Level = Annotated[float, Field(gt=0, le=10000)]


def ascending(low: str, high: str) -> Callable[[Section], Section]:
    """The check that the noise grows between two keys."""

    def check(section: Section) -> Section:
        first, last = getattr(section, low), getattr(section, high)
        if first >= last:
            raise ValueError(f"{low} = {first} must be below {high} = {last}")
        return section

    return check


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

    _ascending = model_validator(mode="after")(ascending("beta_start", "beta_end"))


class VpSde(Process):
    """The variance-preserving SDEs (Song et al. 2021)."""

    process: Literal["vp-sde", "sub-vp-sde"]
    schedule: Literal["linear"]
    beta_min: float = Field(gt=0, le=1000)
    beta_max: float = Field(gt=0, le=1000)

    _ascending = model_validator(mode="after")(ascending("beta_min", "beta_max"))


class Levels(Process):
    """The processes that only add noise, between two levels."""

    sigma_min: Level
    sigma_max: Level

    _ascending = model_validator(mode="after")(ascending("sigma_min", "sigma_max"))


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
