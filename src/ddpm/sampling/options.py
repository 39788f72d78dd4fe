"""How images are drawn: one set of choices, checked when it is made. Light, so that parameters can be checked with it.

What a certain model can do of it is checked by `generate.check`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

Sampler = Literal[
    "ddpm", "ddim", "euler", "heun", "dpm-solver++", "dpm-solver++sde", "predictor-corrector", "predictor-corrector-ve",
    "ode",
]  # fmt: skip
Spacing = Literal["uniform", "trailing", "quadratic", "log-snr", "karras"]
Variance = Literal["small", "large", "reverse-diffusion", "learned"]

_CHURN = ("churn", "churn_min", "churn_max", "churn_noise")
_CORRECTOR = ("variance", "corrections", "snr")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "ddpm": ("variance",),
    "ddim": ("eta",),
    "euler": _CHURN,
    "heun": _CHURN,
    "dpm-solver++": (),
    "dpm-solver++sde": (),
    "predictor-corrector": _CORRECTOR,
    "predictor-corrector-ve": _CORRECTOR,
    "ode": ("tolerance",),
}
"""The fields of Sampling that belong to some samplers only, and to which."""
GUIDED = ("guidance_interval", "guidance_rescale")
"""The fields of Sampling that belong to guidance."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Raises ValueError, naming key, value and limit, for a choice that no model could follow.

    sampler: a row of `diffusion.samplers`; spacing: which of the T levels are visited (a row of `diffusion.schedule`);
    steps: how many; clamp: keep estimates in [-1, 1]. guidance: how far to push away from the model without the label,
    or from a weaker model (1: not at all), at levels of noise in guidance_interval (None: at all); guidance_rescale:
    how much of the contrast that it adds is taken back, 0 to 1.
    ddim, eta: 0 deterministic to 1 as noisy as ddpm. euler and heun: noise stirred in, Karras' S_churn, S_tmin, S_tmax
    (None: no limit) and S_noise. variance: of an ancestral step; `learned` for ddpm alone. corrections, snr: steps of
    Langevin dynamics at each level, and their signal-to-noise ratio. ode, tolerance: relative and absolute error.
    """

    sampler: str = "dpm-solver++"
    steps: int = 20
    spacing: str = "log-snr"
    eta: float = 0.0
    variance: str = "small"
    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float | None = None
    churn_noise: float = 1.0
    corrections: int = 1
    snr: float = 0.16
    tolerance: float = 1e-4
    guidance: float = 1.0
    guidance_interval: tuple[float, float] | None = None
    guidance_rescale: float = 0.0
    clamp: bool = True

    def __post_init__(self) -> None:
        """Refuse what is impossible."""
        _one_of("sampler", self.sampler, get_args(Sampler))
        _one_of("spacing", self.spacing, get_args(Spacing))
        _one_of("variance", self.variance, get_args(Variance))
        _from("steps", self.steps, 1)
        _from("guidance", self.guidance, 0)
        _between("guidance_rescale", self.guidance_rescale, 0, 1)
        _between("eta", self.eta, 0, 1)
        for name in ("churn", "churn_min", "churn_noise", "corrections"):
            _from(name, getattr(self, name), 0)
        _between("snr", self.snr, 0, 1)
        _between("tolerance", self.tolerance, 1e-12, 0.1)
        if self.churn_max is not None and not self.churn_max >= self.churn_min:
            raise ValueError(f"churn_max = {self.churn_max}: must be churn_min = {self.churn_min} or more, or none")
        self._guidance_is_whole()
        self._options_have_takers()

    def _guidance_is_whole(self) -> None:
        """An interval of levels from low to high; without guidance, nothing that belongs to it."""
        low, high = self.guidance_interval or (0.0, 0.0)
        if not 0 <= low <= high:
            raise ValueError(
                f"guidance_interval = [{low}, {high}] is empty: give the lowest and the highest level of noise "
                "(sigma), from 0 up"
            )
        for name in GUIDED:
            if self.guidance == 1 and getattr(self, name) != _default(name):
                raise ValueError(
                    f"{name} = {getattr(self, name)!r} applies to guidance other than 1 only; "
                    f"leave it at {_default(name)!r}"
                )

    def _options_have_takers(self) -> None:
        """An option at another value than its default is for a sampler that takes it."""
        if self.variance == "learned" and self.sampler != "ddpm":
            raise ValueError(f"variance = 'learned' applies to sampler ddpm only, and the sampler is {self.sampler}")
        for name in sorted(_special() - set(OPTIONS[self.sampler])):
            if getattr(self, name) != _default(name):
                takers = ", ".join(sampler for sampler, names in OPTIONS.items() if name in names)
                raise ValueError(
                    f"{name} = {getattr(self, name)!r} applies to sampler {takers} only, and the sampler is "
                    f"{self.sampler}; leave it at {_default(name)!r}"
                )

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of this sampler's function (that of ddpm has no variance `learned`)."""
        return {name: getattr(self, name) for name in OPTIONS[self.sampler]}

    @classmethod
    def suited(cls, **values: Any) -> Self:
        """Of values for several samplers: those that do not concern the chosen one, or its guidance, are left out."""
        return cls.overriding(values, {})

    @classmethod
    def overriding(cls, own: Mapping[str, Any], chosen: Mapping[str, Any]) -> Self:
        """A model's own settings, with those that were chosen in their place; own ones that do not suit are left out.

        Raises ValueError for a chosen one that does not suit.
        """
        values = {**own, **chosen}
        sampler = values.get("sampler", cls.sampler)
        _one_of("sampler", sampler, get_args(Sampler))
        foreign = _special() - set(OPTIONS[sampler])
        if values.get("guidance", cls.guidance) == 1:
            foreign |= set(GUIDED)
        if own.get("variance") == "learned" and sampler != "ddpm":
            foreign.add("variance")
        return cls(**{name: value for name, value in values.items() if name in chosen or name not in foreign})


NAMES = tuple(field.name for field in fields(Sampling))
GUIDE = "guide_sha256"
"""Beside the fields of Sampling: the weights of the weaker model that guidance pushed away from, or an empty text."""


def settings(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling settings among the conditions of an evaluation; empty where it names none."""
    found = {name: conditions[name] for name in NAMES if name in conditions}
    if found.get("guidance_interval") is not None:
        found["guidance_interval"] = tuple(found["guidance_interval"])
    return found | ({GUIDE: conditions[GUIDE]} if found and conditions.get(GUIDE) else {})


def without_guide(own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings where the weaker model is not at hand: no guidance, if it was that model that guided."""
    lost = {GUIDE, "guidance", *GUIDED} if own.get(GUIDE) else {GUIDE}
    return {name: value for name, value in own.items() if name not in lost}


def _special() -> set[str]:
    return {name for names in OPTIONS.values() for name in names}


def _default(name: str) -> Any:
    return getattr(Sampling, name)


def _one_of(key: str, value: str, possible: tuple[str, ...]) -> None:
    if value not in possible:
        raise ValueError(f"{key} = {value!r} is unknown; possible: {', '.join(possible)}")


def _from(key: str, value: float, least: float) -> None:
    if not least <= value < math.inf:
        raise ValueError(f"{key} = {value}: must be {least} or more" + (", and finite" if value == math.inf else ""))


def _between(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{key} = {value}: must be from {least} to {most}")
