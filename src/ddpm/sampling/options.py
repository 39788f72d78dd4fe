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
    "ode",
]  # fmt: skip
Spacing = Literal["uniform", "trailing", "quadratic", "log-snr", "karras"]
Variance = Literal["small", "large", "reverse-diffusion", "learned"]

_CHURN = ("euler", "heun")
_CORRECTOR = ("predictor-corrector", "predictor-corrector-ve")
T = TypeVar("T")
LARGEST_SHOWN = 1_000_000
"""Upper limits from here on only guard against absurd values, so help and comments leave them out."""


@dataclass(frozen=True)
class Option:
    """Definition of one option.

    text: description without samplers, choices and range, which `described` adds; least, most: range, both included;
    samplers: those that use it, empty for all; guided: whether it applies to guidance only; requested: whether each
    request to a served model may set it; none: meaning of None.
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
    """The options that one set of images is drawn with. Raises ValueError for values that suit no model."""

    sampler: str = _option("dpm-solver++", "solver", choices=get_args(Sampler), requested=True)
    steps: int = _option(
        20, "levels visited; network evaluations per image: one each, two with guidance, two with heun", least=1,
        requested=True,
    )  # fmt: skip
    spacing: str = _option("log-snr", "which of the T levels are visited", choices=get_args(Spacing))
    eta: float = _option(0.0, "0 deterministic, 1 as noisy as ddpm", least=0, most=1, samplers=("ddim",))
    variance: str = _option(
        "small", "of a step (learned: ddpm only)", choices=get_args(Variance), samplers=("ddpm", *_CORRECTOR)
    )
    churn: float = _option(
        0.0, "noise added at each step (S_churn of EDM), 0 for none", least=0, most=1_000_000, samplers=_CHURN
    )
    churn_min: float = _option(
        0.0, "level of noise (sigma) below which none is added (S_tmin)", least=0, samplers=_CHURN
    )
    churn_max: float | None = _option(
        None, "level of noise (sigma) above which none is added (S_tmax)", least=0, samplers=_CHURN, none="no limit"
    )
    churn_noise: float = _option(
        1.0, "standard deviation of the noise added (S_noise)", least=0, most=100, samplers=_CHURN
    )
    corrections: int = _option(1, "Langevin steps at each level", least=0, most=1000, samplers=_CORRECTOR)
    snr: float = _option(0.16, "signal-to-noise ratio of the Langevin steps", least=0, most=1, samplers=_CORRECTOR)
    tolerance: float = _option(
        1e-4, "relative and absolute error of its adaptive steps", least=1e-12, most=0.1, samplers=("ode",)
    )
    guidance: float = _option(
        1.0, "how far to push away from the model without label, or from the guide; 1: no guidance", least=0, most=100,
        requested=True,
    )  # fmt: skip
    guidance_interval: tuple[float, float] | None = _option(
        None, "lowest and highest level of noise (sigma) at which to guide", guided=True, none="all levels"
    )
    guidance_rescale: float = _option(
        0.0, "share of the contrast added by guidance that is taken back", least=0, most=1, guided=True
    )
    clamp: bool = _option(True, "keep the denoised estimate in [-1, 1]")

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
                f"guidance_interval = [{low}, {high}] is empty: give the lowest and the highest level of noise "
                "(sigma), from 0 up"
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
        """The keyword arguments of this sampler's function (that of ddpm has no variance `learned`)."""
        return {name: getattr(self, name) for name in used(self.sampler)}

    @classmethod
    def suited(cls, **values: Any) -> Self:
        """Make a choice from values for several samplers: those that the chosen one does not use are left out."""
        return cls.overriding(values, {})

    @classmethod
    def overriding(cls, own: Mapping[str, Any], chosen: Mapping[str, Any]) -> Self:
        """Override a model's own settings with chosen ones; own ones that the sampler does not use are left out.

        Raises ValueError for a chosen one that the sampler does not use.
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
"""Key beside the options: SHA-256 of the weaker model's weights that guidance pushed away from, or an empty text."""


def default(name: str) -> Any:
    """The default of an option."""
    return getattr(Sampling, name)


def used(sampler: str) -> tuple[str, ...]:
    """The options that belong to some samplers only, and to this one."""
    return tuple(name for name, option in OPTIONS.items() if sampler in option.samplers)


def _unused(sampler: str) -> set[str]:
    return {name for name, option in OPTIONS.items() if option.samplers and sampler not in option.samplers}


def settings(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling settings among the conditions of an evaluation; empty where it names none."""
    found = {name: conditions[name] for name in NAMES if name in conditions}
    if found.get("guidance_interval") is not None:
        found["guidance_interval"] = tuple(found["guidance_interval"])
    return found | ({GUIDE: conditions[GUIDE]} if found and conditions.get(GUIDE) else {})


def without_guide(own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings where the weaker model is not available: without guidance if that model was the guide."""
    lost = {GUIDE, "guidance", *GUIDED} if own.get(GUIDE) else {GUIDE}
    return {name: value for name, value in own.items() if name not in lost}
