"""Sampler options: the one definition of name, type, default, range and description, and of the samplers that use it.

Section `sample` of params.yaml, the options of `ddpm sample` and `ddpm restore`, the parameters of a served model and
their checks derive from `OPTIONS`. Imports no torch. `checks` compares a choice with the config of a model.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeVar, get_args

Sampler = Literal[
    "ddpm", "ddim", "euler", "heun", "dpm-solver++", "dpm-solver++sde", "predictor-corrector", "predictor-corrector-ve",
    "ode", "consistency",
]  # fmt: skip
Spacing = Literal["uniform", "trailing", "quadratic", "log-snr", "karras"]
Variance = Literal["small", "large", "reverse-diffusion", "learned"]

_CHURN = ("euler", "heun")
_CORRECTOR = ("predictor-corrector", "predictor-corrector-ve")
T = TypeVar("T")
LARGEST_SHOWN = 1_000_000
"""Upper limits from here on only guard against absurd values, so help and comments omit them."""


@dataclass(frozen=True)
class Option:
    """Definition of one option.

    text: description without samplers, choices and range, which `described` adds; least, most: inclusive range;
    samplers: those that use it, empty for all; guided: True if it applies to guidance only; requested: True if
    requests to a served model may set it; none: meaning of None.
    """

    text: str
    least: float | None = None
    most: float = math.inf
    choices: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    guided: bool = False
    requested: bool = False
    none: str = ""

    @property
    def description(self) -> str:
        """The samplers that use it, and what it does."""
        return f"{', '.join(self.samplers)}: {self.text}" if self.samplers else self.text

    @property
    def described(self) -> str:
        """The description with all choices or the range."""
        if self.choices:
            return f"{self.description}: {', '.join(self.choices)}"
        bounded = self.least is not None and self.most < LARGEST_SHOWN
        return f"{self.description} ({self.least:g} to {self.most:g})" if bounded else self.description

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that is not a choice, or out of range. Raises ValueError with name, value and limit."""
        if self.choices and value not in self.choices:
            raise ValueError(f"{name} = {value!r} is unknown; possible: {', '.join(self.choices)}")
        if self.least is None or (value is None and self.none):
            return
        if self.least <= value <= self.most and value < math.inf:
            return
        if self.most < math.inf:
            raise ValueError(f"{name} = {value}: must be from {self.least} to {self.most}")
        raise ValueError(f"{name} = {value}: must be {self.least} or more" + ", and finite" * (value == math.inf))


def _option(default: T, text: str, **properties: Any) -> T:
    return dataclasses.field(default=default, metadata={"option": Option(text, **properties)})


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The sampler and its options. Raises ValueError for values that are invalid for every model."""

    sampler: str = _option("dpm-solver++", "solver", choices=get_args(Sampler), requested=True)
    steps: int = _option(
        20, "sampling steps, with one network evaluation each (two with guidance, two with heun)", least=1,
        requested=True,
    )  # fmt: skip
    spacing: str = _option("log-snr", "spacing of the steps over the T noise levels", choices=get_args(Spacing))
    eta: float = _option(
        0.0, "stochasticity; 0: deterministic, 1: as much noise as ddpm", least=0, most=1, samplers=("ddim",)
    )
    variance: str = _option(
        "small", "variance of a reverse step (learned: ddpm only)", choices=get_args(Variance),
        samplers=("ddpm", *_CORRECTOR),
    )  # fmt: skip
    churn: float = _option(
        0.0, "noise added in each step (S_churn of EDM); 0: none", least=0, most=1_000_000, samplers=_CHURN
    )
    churn_min: float = _option(0.0, "lowest sigma at which noise is added (S_tmin)", least=0, samplers=_CHURN)
    churn_max: float | None = _option(
        None, "highest sigma at which noise is added (S_tmax)", least=0, samplers=_CHURN, none="no limit"
    )
    churn_noise: float = _option(
        1.0, "standard deviation of the added noise (S_noise)", least=0, most=100, samplers=_CHURN
    )
    corrections: int = _option(1, "Langevin steps per noise level", least=0, most=1000, samplers=_CORRECTOR)
    snr: float = _option(0.16, "signal-to-noise ratio of the Langevin steps", least=0, most=1, samplers=_CORRECTOR)
    tolerance: float = _option(
        1e-4, "relative and absolute tolerance of the adaptive steps", least=1e-12, most=0.1, samplers=("ode",)
    )
    guidance: float = _option(
        1.0, "guidance scale w (classifier-free, or autoguidance with a guide); 1: no guidance", least=0, most=100,
        requested=True,
    )  # fmt: skip
    guidance_interval: tuple[float, float] | None = _option(
        None, "lowest and highest sigma at which guidance is applied", guided=True, none="all noise levels"
    )
    guidance_rescale: float = _option(
        0.0, "guidance rescale factor phi (Lin et al. 2024); 0: none", least=0, most=1, guided=True
    )
    clamp: bool = _option(True, "clip the denoised estimate to [-1, 1]")

    def __post_init__(self) -> None:
        """Check each option, then the rules between them."""
        for name, option in OPTIONS.items():
            option.check(name, getattr(self, name))
        if self.churn_max is not None and not self.churn_max >= self.churn_min:
            raise ValueError(f"churn_max = {self.churn_max}: must be churn_min = {self.churn_min} or more, or none")
        self._check_guidance()
        self._check_unused()

    def _check_guidance(self) -> None:
        """Refuse an empty interval, and options of guidance without guidance."""
        low, high = self.guidance_interval or (0.0, 0.0)
        if not 0 <= low <= high:
            raise ValueError(
                f"guidance_interval = [{low}, {high}] is empty: give the lowest and the highest noise level (sigma), "
                "0 or more"
            )
        for name in GUIDED:
            if self.guidance == 1 and getattr(self, name) != default(name):
                raise ValueError(
                    f"{name} = {getattr(self, name)!r} applies to guidance other than 1 only; "
                    f"leave it at {default(name)!r}"
                )

    def _check_unused(self) -> None:
        """Reject non-default options that the chosen sampler does not use."""
        if self.variance == "learned" and self.sampler != "ddpm":
            raise ValueError(f"variance = 'learned' applies to sampler ddpm only, and the sampler is {self.sampler}")
        for name in sorted(_unused(self.sampler)):
            if getattr(self, name) != default(name):
                raise ValueError(
                    f"{name} = {getattr(self, name)!r} applies to sampler {', '.join(OPTIONS[name].samplers)} only, "
                    f"and the sampler is {self.sampler}; leave it at {default(name)!r}"
                )

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of this sampler's function (`variance` = learned has a function of its own)."""
        return {name: getattr(self, name) for name in used(self.sampler)}

    @classmethod
    def suited(cls, **values: Any) -> Self:
        """Build the options from values for several samplers; those that the chosen one does not use are ignored."""
        return cls.overriding(values, {})

    @classmethod
    def overriding(cls, own: Mapping[str, Any], chosen: Mapping[str, Any]) -> Self:
        """Override a model's own settings with chosen ones; own settings that the sampler does not use are ignored.

        Raises ValueError for a chosen setting that the sampler does not use.
        """
        values = {**own, **chosen}
        sampler = values.get("sampler", cls.sampler)
        OPTIONS["sampler"].check("sampler", sampler)
        foreign = _unused(sampler)
        if values.get("guidance", cls.guidance) == 1:
            foreign |= set(GUIDED)
        if own.get("variance") == "learned" and sampler != "ddpm":
            foreign.add("variance")
        return cls(**{name: value for name, value in values.items() if name in chosen or name not in foreign})


OPTIONS: Mapping[str, Option] = {field.name: field.metadata["option"] for field in fields(Sampling)}
NAMES = tuple(OPTIONS)
GUIDED = tuple(name for name, option in OPTIONS.items() if option.guided)
REQUESTED = tuple(name for name, option in OPTIONS.items() if option.requested)
GUIDE = "guide_sha256"
"""Key stored with the options: SHA-256 of the guide's weights (autoguidance), or an empty string."""


def default(name: str) -> Any:
    """Return the default of an option."""
    return getattr(Sampling, name)


def used(sampler: str) -> tuple[str, ...]:
    """List the sampler-specific options that this sampler uses."""
    return tuple(name for name, option in OPTIONS.items() if sampler in option.samplers)


def _unused(sampler: str) -> set[str]:
    return {name for name, option in OPTIONS.items() if option.samplers and sampler not in option.samplers}


def settings(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Select the sampling settings from the conditions of an evaluation; empty if it has none."""
    found = {name: conditions[name] for name in NAMES if name in conditions}
    if found.get("guidance_interval") is not None:
        found["guidance_interval"] = tuple(found["guidance_interval"])
    return found | ({GUIDE: conditions[GUIDE]} if found and conditions.get(GUIDE) else {})


def without_guide(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings to use if the guide is not available: without guidance if they used one."""
    lost = {GUIDE, "guidance", *GUIDED} if own.get(GUIDE) else {GUIDE}
    return {name: value for name, value in own.items() if name not in lost}
