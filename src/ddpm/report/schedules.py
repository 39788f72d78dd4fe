"""Noise schedules for the report's plot: the model's own and the published ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.diffusion import process, schedule
from ddpm.metrics.loss_gap import LEVELS
from ddpm.model import build
from ddpm.model.config import ModelConfig

PUBLISHED: dict[str, dict[str, Any]] = {
    **{
        f"ddpm, {name}": {"process": "ddpm", "steps": 1000, "schedule": name, "beta_start": 1e-4, "beta_end": 0.02}
        for name in ("linear", "cosine", "quadratic", "sigmoid")
    },
    "vp-sde, linear": {"process": "vp-sde", "steps": 1000, "beta_min": 0.1, "beta_max": 20.0},
    "sub-vp-sde, linear": {"process": "sub-vp-sde", "steps": 1000, "beta_min": 0.1, "beta_max": 20.0},
    "ve-sde, geometric": {"process": "ve-sde", "steps": 1000, "sigma_min": 0.01, "sigma_max": 50.0},
    "edm, karras": {
        "process": "edm", "steps": 1000, "sigma_min": 0.002, "sigma_max": 80.0, "p_mean": -1.2, "p_std": 1.2,
    },
    "flow, straight": {"process": "flow", "steps": 1000},
}  # fmt: skip
"""Every process with its published values."""


def sigmas(
    config: ModelConfig, conditions: Mapping[str, Any]
) -> tuple[dict[str, NDArray[np.float64]], str, NDArray[np.float64]]:
    """Compute the sigmas of every schedule by name, the name of the model's own, and the sigmas of its sampler."""
    diffusion = config.diffusion.options
    own = f"{diffusion['process']}, {diffusion['schedule']}"
    found = {name: build.process(section).sigmas for name, section in PUBLISHED.items()}
    found[own] = build.process(diffusion).sigmas
    sampled = found[own][schedule.timesteps(conditions["spacing"], found[own], conditions["steps"])]
    return {name: each.numpy() for name, each in found.items()}, own, sampled.flip(0).numpy()


def heldout_loss_sigmas(config: ModelConfig) -> list[float]:
    """Compute the sigmas at which training measures held-out loss."""
    found: list[float] = process.midpoints(build.process(config.diffusion.options), LEVELS).tolist()
    return found
