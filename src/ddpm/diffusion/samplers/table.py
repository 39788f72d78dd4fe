"""The table of samplers; `base` describes their interface."""

from collections.abc import Callable
from dataclasses import dataclass

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
from ddpm.diffusion.samplers.consistency import consistency
from ddpm.diffusion.samplers.ode import dpm_solver_pp, dpm_solver_pp_sde, euler, heun, ode

__all__ = [
    "SAMPLERS",
    "VARIANCES",
    "Callback",
    "Denoise",
    "Noise",
    "Sampler",
    "consistency",
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

ALWAYS, NEVER = "always", "never"


@dataclass(frozen=True)
class Sampler:
    """A sampler and its properties.

    draw: the function; source: paper and algorithm or equation; order: of convergence, in law if `noise` is ALWAYS,
    None if there is none to state; evaluations: of the denoiser per step, without corrections, None if adaptive;
    noise: ALWAYS, NEVER, or the option that adds noise where it is above 0; batched: whether images of a batch are
    independent; otherwise pass one image at a time.
    """

    draw: Callable[..., Tensor]
    source: str
    order: int | None
    noise: str
    evaluations: int | None = 1
    batched: bool = True


SAMPLERS: dict[str, Sampler] = {
    "ddpm": Sampler(ddpm, "Ho et al. 2020, alg. 2", 1, ALWAYS),
    "ddim": Sampler(ddim, "Song et al. 2020, eq. 12", 1, "eta"),
    "euler": Sampler(euler, "Karras et al. 2022, eq. 1", 1, "churn"),
    "heun": Sampler(heun, "Karras et al. 2022, alg. 2", 2, "churn", evaluations=2),
    "dpm-solver++": Sampler(dpm_solver_pp, "Lu et al. 2022b, alg. 2", 2, NEVER),
    "dpm-solver++sde": Sampler(dpm_solver_pp_sde, "Lu et al. 2022b", 2, ALWAYS),
    "predictor-corrector": Sampler(predictor_corrector, "Song et al. 2021, alg. 3 and 5 (VP)", None, ALWAYS),
    "predictor-corrector-ve": Sampler(predictor_corrector_ve, "Song et al. 2021, alg. 2 and 4 (VE)", None, ALWAYS),
    "ode": Sampler(ode, "Song et al. 2021, sec. 4.3 (RK45)", 5, NEVER, evaluations=None, batched=False),
    "consistency": Sampler(consistency, "Song et al. 2023, alg. 1", None, ALWAYS),
}
"""Source of docs/samplers.md, which `make docs` writes."""
