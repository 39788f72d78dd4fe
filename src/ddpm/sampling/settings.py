"""Sampling settings of a request: those of the model's version, overridden by options. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from ddpm.sampling.options import GUIDE, Sampling, without_guide

STEPS = Sampling.steps
"""Steps for a model without settings, or T if that is less."""


def sampling(
    model: str,
    own: Mapping[str, Any] | None,
    chosen: Mapping[str, Any],
    total: int,
    *,
    guide: bool = False,
    named: str = "--guide",
) -> tuple[Sampling, list[str]]:
    """Return the settings to sample `model` with, and notes about them.

    own: settings of its version, None for a checkpoint folder; chosen: options given; total: T; guide: True if a weaker
    model is given; named: the option that names it. Raises ValueError for settings that do not fit.
    """
    notes: list[str] = []
    if not own:
        found = Sampling.overriding({"steps": min(STEPS, total)}, chosen)
        if own is not None:
            notes.append(f"{without(model)}: {found.sampler}, {found.steps} steps")
        return found, notes
    if own.get(GUIDE) and not guide and "guidance" not in chosen:
        notes.append(f"{model} was evaluated with a weaker model as its guide, but {named} is not given: not guided")
    kept = {name: value for name, value in own.items() if name != GUIDE} if guide else without_guide(own)
    return Sampling.overriding(kept, chosen), notes


def without(model: str) -> str:
    """Return the note for a version that was registered without settings."""
    return f"{model} has no sampling settings (it is an older version)"
