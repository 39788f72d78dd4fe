"""Section diffusion: the forward process, with the keys of its kind, and the prediction target."""

import math
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ddpm.config.sections.base import Section

LARGEST_SIGMA = 1e15  # its square is still a number of half the range of float32
Level = Annotated[float, Field(gt=0, le=10000)]
PROCESSES = "ddpm (discrete, T steps), vp-sde, sub-vp-sde, ve-sde, edm or flow; each has its own keys"


def ascending(low: str, high: str) -> Callable[[Section], Section]:
    """Make a validator that `low` is below `high`."""

    def check(section: Section) -> Section:
        first, last = getattr(section, low), getattr(section, high)
        if first >= last:
            raise ValueError(f"{low} = {first} must be below {high} = {last}")
        return section

    return check


def reaches(log_sigma: float) -> None:
    """Raise ValueError if the largest noise level exceeds the range of float32."""
    if log_sigma > math.log(LARGEST_SIGMA):
        raise ValueError(
            f"the largest noise level would be sigma = 1e{log_sigma / math.log(10):.0f}; it must be at most "
            f"{LARGEST_SIGMA:.0e}"
        )


class Process(Section):
    """Keys of every process."""

    steps: int = Field(
        1000, ge=1, le=5000, description="T: diffusion steps, or number of noise levels available to samplers"
    )
    prediction: Literal["eps", "x0", "v", "score", "edm", "flow"] = Field("v", description="what the network predicts")
    sigma_data: float = Field(0.5, gt=0, le=10, description="edm: standard deviation of the images in [-1, 1]")
    weighting: Literal["simple", "snr", "truncated-snr", "min-snr", "p2", "edm", "output"] = Field(
        "output", description="loss weighting (simple: Ho et al.; output: unweighted error of the network output)"
    )
    condition: Literal["none", "low-resolution-2", "low-resolution-4"] = Field(
        "none", description="image concatenated to the network's input, for super-resolution"
    )

    @property
    def shrinks_by(self) -> int:
        """Ratio of image size to the size of the conditioning image; 1 without one."""
        return {"none": 1, "low-resolution-2": 2, "low-resolution-4": 4}[self.condition]


class Ddpm(Process):
    """A chain of T steps (Ho et al. 2020)."""

    process: Literal["ddpm"] = Field("ddpm", description=PROCESSES)
    schedule: Literal["linear", "scaled-linear", "cosine", "quadratic", "sigmoid"] = Field(
        "cosine", description="beta schedule"
    )
    beta_start: float = Field(0.0001, gt=0, lt=1, description="not cosine: first beta at T = 1000, scaled by 1000/T")
    beta_end: float = Field(0.02, gt=0, lt=1, description="not cosine: last beta at T = 1000, scaled by 1000/T")
    variance: Literal["fixed", "learned"] = Field(
        "fixed", description="variance of a reverse step in ancestral sampling"
    )

    _ascending = model_validator(mode="after")(ascending("beta_start", "beta_end"))

    @model_validator(mode="after")
    def noise_is_finite(self) -> Self:
        """Check that the betas leave some signal at the last step: sigma^2 = 1 / abar - 1."""
        if self.schedule != "cosine":
            reaches(-sum(math.log1p(-beta) for beta in self._betas()) / 2)
        return self

    def _betas(self) -> list[float]:
        """Compute the betas as `diffusion.schedule.betas`, without torch."""
        start, end = (beta * 1000 / self.steps for beta in (self.beta_start, self.beta_end))
        shares = [i / max(1, self.steps - 1) for i in range(self.steps)]
        if self.schedule == "sigmoid":
            rising = [start + (end - start) / (1 + math.exp(6 - 12 * share)) for share in shares]
        elif self.schedule == "linear":
            rising = [start + (end - start) * share for share in shares]
        else:
            rising = [(start**0.5 + (end**0.5 - start**0.5) * share) ** 2 for share in shares]
        return [min(beta, 0.999) for beta in rising]


class VpSde(Process):
    """The variance-preserving SDEs (Song et al. 2021)."""

    process: Literal["vp-sde", "sub-vp-sde"] = Field("vp-sde", description=PROCESSES)
    schedule: Literal["linear"] = Field("linear", description="beta over time")
    beta_min: float = Field(0.1, gt=0, le=1000, description="beta at time 0")
    beta_max: float = Field(20.0, gt=0, le=1000, description="beta at time 1")

    _ascending = model_validator(mode="after")(ascending("beta_min", "beta_max"))

    @model_validator(mode="after")
    def noise_is_finite(self) -> Self:
        """Check that the betas leave some signal at t = 1, where their integral is their mean."""
        reaches((self.beta_min + self.beta_max) / 4)
        return self


class Levels(Process):
    """Processes that only add noise, between two levels."""

    sigma_min: Level = Field(0.002, description="lowest noise level")
    sigma_max: Level = Field(80.0, description="highest noise level")

    _ascending = model_validator(mode="after")(ascending("sigma_min", "sigma_max"))


class VeSde(Levels):
    """The variance-exploding SDE (Song et al. 2021)."""

    process: Literal["ve-sde"] = Field("ve-sde", description=PROCESSES)
    sigma_min: Level = Field(0.01, description="lowest noise level")
    sigma_max: Level = Field(50.0, description="highest noise level, about the largest distance between two images")
    schedule: Literal["geometric"] = Field("geometric", description="sigma over time")


class Edm(Levels):
    """The EDM process (Karras et al. 2022)."""

    process: Literal["edm"] = Field("edm", description=PROCESSES)
    schedule: Literal["karras"] = Field("karras", description="sigma, uniform in its seventh root (rho = 7)")
    p_mean: float = Field(-1.2, ge=-10, le=10, description="mean of log(sigma) in training")
    p_std: float = Field(1.2, gt=0, le=10, description="standard deviation of log(sigma) in training")

    @model_validator(mode="after")
    def noise_is_finite(self) -> Self:
        """Check the largest sigma of training: 5.2 standard deviations above the mean of log(sigma)."""
        reaches(self.p_mean + 5.2 * self.p_std)
        return self


class RectifiedFlow(Process):
    """Rectified flow (Liu et al. 2023)."""

    process: Literal["flow"] = Field("flow", description=PROCESSES)
    schedule: Literal["straight"] = Field("straight", description="of time: from image to noise in a straight line")


Diffusion = Annotated[Ddpm | VpSde | VeSde | Edm | RectifiedFlow, Field(discriminator="process")]
