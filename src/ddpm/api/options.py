"""Sampler options as keyword arguments, for type checkers; the definitions are those of `sampling.options`."""

import difflib
from collections.abc import Iterable
from typing import TypedDict

from ddpm.sampling.options import NAMES, Sampler, Spacing, Variance


class SamplerOptions(TypedDict, total=False):
    """Options of the sampler; those omitted are as the version was evaluated with, or else the defaults."""

    sampler: Sampler
    steps: int
    spacing: Spacing
    eta: float
    variance: Variance
    churn: float
    churn_min: float
    churn_max: float | None
    churn_noise: float
    corrections: int
    snr: float
    tolerance: float
    guidance: float
    guidance_interval: tuple[float, float] | None
    guidance_rescale: float
    clamp: bool


def require_known(given: Iterable[str]) -> None:
    """Raise TypeError for a keyword that is not a sampler option, with the nearest one."""
    for name in given:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            raise TypeError(
                f"sample() has no option {name!r}{f'; nearest: {near[0]}' if near else ''}. Sampler options: "
                f"{', '.join(NAMES)}"
            )
