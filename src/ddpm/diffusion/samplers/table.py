"""The table of samplers; `base` describes their interface."""

from collections.abc import Callable

from torch import Tensor

from ddpm.diffusion.samplers.ancestral import (
    VARIANCES,
    ddim,
    ddpm,
    ddpm_learned,
    large_variance,
    predictor_corrector,
    predictor_corrector_ve,
    reverse_diffusion,
    small_variance,
    with_fraction,
)
from ddpm.diffusion.samplers.base import Callback, Denoise, Noise, no_callback
from ddpm.diffusion.samplers.ode import dpm_solver_pp, dpm_solver_pp_sde, euler, heun, ode

__all__ = [
    "ALONE",
    "SAMPLERS",
    "VARIANCES",
    "Callback",
    "Denoise",
    "Noise",
    "ddim",
    "ddpm",
    "ddpm_learned",
    "dpm_solver_pp",
    "dpm_solver_pp_sde",
    "euler",
    "heun",
    "large_variance",
    "no_callback",
    "ode",
    "predictor_corrector",
    "predictor_corrector_ve",
    "reverse_diffusion",
    "small_variance",
    "with_fraction",
]  # fmt: skip

SAMPLERS: dict[str, Callable[..., Tensor]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "heun": heun,
    "dpm-solver++": dpm_solver_pp,
    "dpm-solver++sde": dpm_solver_pp_sde,
    "predictor-corrector": predictor_corrector,
    "predictor-corrector-ve": predictor_corrector_ve,
    "ode": ode,
}
ALONE = ("ode",)
"""Samplers whose steps depend on all images of a batch: they are called with one image at a time."""
