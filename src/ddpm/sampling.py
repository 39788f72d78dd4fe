"""How images are drawn: one set of choices, checked when it is made. Light, so that parameters can be checked with it.

What a certain model can do of it is checked by `generate.check`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

Sampler = Literal["ddpm", "ddim", "dpm-solver++"]
Spacing = Literal["uniform", "trailing", "quadratic", "log-snr"]
Variance = Literal["small", "large"]

OPTIONS: Mapping[str, tuple[str, ...]] = {"ddpm": ("variance",), "ddim": ("eta",), "dpm-solver++": ()}
"""The fields of Sampling that belong to some samplers only, and to which."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Raises ValueError, naming key, value and limit, for a choice that no model could follow.

    sampler, variance: rows of `diffusion.samplers`; spacing: which of the T steps are visited (`diffusion.schedule`);
    steps: how many; eta: 0 deterministic to 1 as noisy as ddpm; guidance: scale of classifier-free guidance, 1 none;
    clamp: keep estimates in [-1, 1].
    """

    sampler: str = "dpm-solver++"
    steps: int = 20
    spacing: str = "log-snr"
    eta: float = 0.0
    variance: str = "small"
    guidance: float = 1.0
    clamp: bool = True

    def __post_init__(self) -> None:
        """Refuse what is impossible."""
        _one_of("sampler", self.sampler, get_args(Sampler))
        _one_of("spacing", self.spacing, get_args(Spacing))
        _one_of("variance", self.variance, get_args(Variance))
        _from("steps", self.steps, 1)
        _from("guidance", self.guidance, 0)
        _between("eta", self.eta, 0, 1)
        for name in sorted(_special() - set(OPTIONS[self.sampler])):
            if getattr(self, name) != _default(name):
                takers = " and ".join(sampler for sampler, names in OPTIONS.items() if name in names)
                raise ValueError(
                    f"{name} = {getattr(self, name)!r} applies to sampler {takers} only, and the sampler is "
                    f"{self.sampler}; leave it at {_default(name)!r}"
                )

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of this sampler's function."""
        return {name: getattr(self, name) for name in OPTIONS[self.sampler]}

    @classmethod
    def suited(cls, **values: Any) -> Self:
        """Of values for several samplers: those that do not concern the chosen one are left out."""
        sampler = values.get("sampler", cls.sampler)
        _one_of("sampler", sampler, get_args(Sampler))
        foreign = _special() - set(OPTIONS[sampler])
        return cls(**{name: value for name, value in values.items() if name not in foreign})


NAMES = tuple(field.name for field in fields(Sampling))


def _special() -> set[str]:
    return {name for names in OPTIONS.values() for name in names}


def _default(name: str) -> Any:
    return getattr(Sampling, name)


def _one_of(key: str, value: str, possible: tuple[str, ...]) -> None:
    if value not in possible:
        raise ValueError(f"{key} = {value!r} is unknown; possible: {', '.join(possible)}")


def _from(key: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{key} = {value}: must be {least} or more")


def _between(key: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{key} = {value}: must be from {least} to {most}")
