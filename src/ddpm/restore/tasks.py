"""The restoration tasks, and validation of requests against a model's config, without weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ddpm.diffusion import conditioning
from ddpm.model import build
from ddpm.model.config import DiffusionConfig, ModelConfig
from ddpm.sampling import generate
from ddpm.sampling.options import Sampling, without_guide

AUTO = "auto"


class Task(NamedTuple):
    """Defaults and baseline of a task."""

    steps: int
    rounds: int
    baseline: str


TASKS: dict[str, Task] = {
    "inpaint": Task(steps=20, rounds=8, baseline="fill"),
    "super-resolution": Task(steps=20, rounds=8, baseline="bicubic"),
    "denoise": Task(steps=20, rounds=1, baseline="median"),
    "colourise": Task(steps=20, rounds=8, baseline="grey"),
}
JUMP = 1  # steps of a segment repeated `rounds` times: the best of 1, 2, 5 and 10 on digits, at equal cost
ALWAYS_NEW = ("ddpm", "dpm-solver++sde", "predictor-corrector", "predictor-corrector-ve")
"""Stochastic samplers, whose results differ even from the same start."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A restoration to run.

    noise: standard deviation in the observation, for images in [-1, 1]; None: estimate it. scale: ratio of image to
    observation size. count: restorations of each input. label: None for any. trained: True if the model was trained for
    this task and scale, with the observation as an additional input.
    """

    task: str
    side: int
    channels: int
    sampling: Sampling
    rounds: int
    scale: int
    noise: float | None
    count: int
    seed: int
    label: int | None
    trained: bool = False

    @property
    def observed_side(self) -> int:
        """Side of the observed pictures, in pixels."""
        return self.side // self.scale

    @property
    def observed_channels(self) -> int:
        """Channels of the observed pictures."""
        return 1 if self.task == "colourise" else self.channels


def plan(
    config: ModelConfig,
    task: str,
    *,
    mask: bool = False,
    scale: int | None = None,
    noise: str | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    own: Mapping[str, Any] | None = None,
    rounds: int | None = None,
    count: int = 1,
    seed: int = 0,
    label: int | None = None,
) -> Plan:
    """Complete a plan from a request. Raises ValueError for what this model or task does not support.

    own: the sampling settings of the model's version, used by a super-resolution model.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown; possible: {', '.join(TASKS)}")
    image, trained = config.image, config.diffusion.scale
    _check_model(config, task, label)
    if mask != (task == "inpaint"):
        raise ValueError(_mask_error(task))
    if count < 1 or seed < 0 or (rounds is not None and rounds < 1):
        raise ValueError(
            f"count = {count}, seed = {seed}, rounds = {rounds}: count and rounds must be 1 or more, seed 0 or more"
        )
    chosen = {key: value for key, value in (("sampler", sampler), ("steps", steps)) if value is not None}
    if steps is None:
        # a single evaluation gives the posterior mean of a noisy picture, which minimises the error
        steps = 1 if task == "denoise" and count == 1 else min(TASKS[task].steps, config.diffusion.steps)
    sampling = Sampling(sampler=sampler or "ddpm", steps=steps)
    if trained and own:
        fixed = {"variance": "small"} if own.get("variance") == "learned" else {}
        sampling = Sampling.overriding({**without_guide(own), **fixed}, chosen)
    small = (1, image.resolution // trained, image.resolution // trained, image.channels) if trained else None
    generate.check(config, sampling, 1, None if label is None else [label], small)
    if task == "denoise" and count > 1 and (steps == 1 or sampling.sampler not in ALWAYS_NEW):
        raise ValueError(
            f"count = {count}: with sampler {sampling.sampler} and {steps} steps all restorations of a noisy picture "
            f"would be equal; use 2 steps or more and one of {', '.join(ALWAYS_NEW)}"
        )
    return Plan(
        task=task, side=image.resolution, channels=image.channels, sampling=sampling,
        rounds=rounds or (1 if trained else TASKS[task].rounds),
        scale=_trained_scale(scale, noise, trained) if trained else _scale(task, scale, image.resolution),
        noise=_noise(task, noise, config.diffusion), count=count, seed=seed, label=label, trained=bool(trained),
    )  # fmt: skip


def largest_noise(diffusion: DiffusionConfig) -> float:
    """Return the largest sigma of the process."""
    return build.process(diffusion.options).sigmas[-1].item()


def _check_model(config: ModelConfig, task: str, label: int | None) -> None:
    config.require_denoiser(task)
    image, condition = config.image, config.diffusion.condition
    if condition != "none" and task != "super-resolution":
        raise ValueError(
            f"this is a super-resolution model (diffusion.condition = {condition}): it supports super-resolution by "
            f"{conditioning.CONDITIONS[condition]}, not {task}, which needs a model with condition none"
        )
    if task == "colourise" and image.channels != 3:
        raise ValueError("colourise needs a model of colour images, but this one generates grey ones (channels = 1)")
    if label is None and image.classes and not image.label_dropout:
        raise ValueError(
            f"this model needs a class (label_dropout = 0): give --label, one of {', '.join(image.classes)}"
        )


def _mask_error(task: str) -> str:
    if task == "inpaint":
        return "inpaint needs --mask: a picture that is white where to paint and black where to keep"
    return f"--mask is for inpaint only, but the task is {task}"


def _scale(task: str, scale: int | None, side: int) -> int:
    if task != "super-resolution":
        if scale is not None:
            raise ValueError(f"--scale is for super-resolution only, but the task is {task}")
        return 1
    possible = [each for each in range(2, side // 2 + 1) if side % each == 0]
    if scale not in possible:
        asked = "super-resolution needs --scale" if scale is None else f"scale = {scale}"
        raise ValueError(f"{asked}: for this model's images of side {side}, one of {', '.join(map(str, possible))}")
    return scale


def _trained_scale(scale: int | None, noise: str | None, trained: int) -> int:
    """Return the scale of a super-resolution model. Raises ValueError for another scale, or noise."""
    if scale not in {None, trained}:
        raise ValueError(
            f"scale = {scale}: this model was trained for scale {trained} only; "
            "a model with diffusion.condition none supports any scale that divides the side"
        )
    if noise is not None:
        raise ValueError(
            f"noise = {noise}: this model was trained on small pictures without noise; omit --noise, "
            "or use a model with diffusion.condition none"
        )
    return trained


def _noise(task: str, noise: str | None, diffusion: DiffusionConfig) -> float | None:
    if noise is None:
        if task == "denoise":
            raise ValueError("denoise needs --noise: its standard deviation (grey levels / 127.5), or auto")
        return 0.0
    if noise == AUTO:
        return None
    try:
        sigma = float(noise)
    except ValueError as error:
        raise ValueError(f"noise = {noise!r}: must be a number (grey levels / 127.5), or auto") from error
    check_noise(task, sigma, diffusion)
    return sigma


def check_noise(task: str, sigma: float, diffusion: DiffusionConfig) -> None:
    """Raise ValueError for noise that this model cannot remove."""
    most = largest_noise(diffusion)
    if not 0 <= sigma <= most or (task == "denoise" and sigma == 0):
        least = "above 0" if task == "denoise" else "0 or more"
        raise ValueError(f"noise = {sigma:g}: must be {least}, and at most {most:.4g}, the model's largest sigma")
