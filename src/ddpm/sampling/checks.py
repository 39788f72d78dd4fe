"""Validate sampling requests against a model's config before loading its weights."""

from collections.abc import Sequence

from ddpm.diffusion.process import PROCESSES
from ddpm.model.config import DENOISING, ImageConfig, ModelConfig
from ddpm.sampling.options import Sampling

NO_LABEL = -1
CONSISTENCY = "consistency"
"""The sampler of consistency models."""


def check(
    config: ModelConfig,
    sampling: Sampling,
    count: int,
    labels: Sequence[int] | None = None,
    low_res: tuple[int, ...] | None = None,
    guide: ModelConfig | None = None,
) -> None:
    """Refuse a request that a model of this config does not support. Raises ValueError; needs no weights.

    labels: one per image, NO_LABEL for none; low_res: shape of the input of a super-resolution model; guide: config of
    the weaker model for autoguidance.
    """
    _check_objective(config, sampling, guide)
    _check_low_res(config, count, low_res)
    total, classes = config.diffusion.steps, config.image.classes
    if sampling.steps > total:
        raise ValueError(f"steps = {sampling.steps}: this model has T = {total}, so 1 to {total} are possible")
    if sampling.variance == "learned" and not config.diffusion.learned_variance:
        raise ValueError("variance = 'learned': this model was trained with a fixed variance; use small or large")
    if count < 1:
        raise ValueError(f"count = {count}: must be 1 or more")
    if not classes and labels is not None:
        raise ValueError("this model was trained without labels: omit the label")
    _check_guidance(config, sampling.guidance, guide)
    if labels is None and low_res is not None and classes:
        labels = [NO_LABEL] * count
    if labels is not None:
        _check_labels(config.image, count, labels)


def _check_objective(config: ModelConfig, sampling: Sampling, guide: ModelConfig | None) -> None:
    """Require the sampler `consistency` for a consistency model, and refuse it for any other."""
    if guide is not None:
        guide.require_denoiser("guidance by a weaker model")
    if config.objective == DENOISING and sampling.sampler == CONSISTENCY:
        raise ValueError(
            f"sampler = {CONSISTENCY!r} needs a model trained with train.objective = consistency, and this one was "
            f"trained for {config.objective}: use another sampler"
        )
    if config.objective != DENOISING and sampling.sampler != CONSISTENCY:
        raise ValueError(
            f"sampler = {sampling.sampler!r} needs a denoiser, and this is a {config.objective} model: use sampler = "
            f"{CONSISTENCY!r} with 1 to 4 steps and spacing = 'trailing'"
        )


def _check_labels(image: ImageConfig, count: int, labels: Sequence[int]) -> None:
    """Require a class for each image, or none for a model that was also trained without labels."""
    if len(labels) != count:
        raise ValueError(f"{len(labels)} labels for {count} images: give one for each")
    names = ", ".join(f"{i} ({name})" for i, name in enumerate(image.classes))
    for label in labels:
        if label == NO_LABEL and not image.label_dropout:
            raise ValueError(f"this model needs a class for each image (label_dropout = 0): give a label of {names}")
        if label != NO_LABEL and not 0 <= label < len(image.classes):
            raise ValueError(f"label {label} does not exist; this model has {names}")


def _check_guidance(config: ModelConfig, scale: float, guide: ModelConfig | None) -> None:
    """Require a worse model for guidance: this one without labels, or a guide of the same images and noise levels."""
    if guide is None:
        if scale != 1 and not config.image.classes:
            raise ValueError("this model was trained without labels: omit guidance (1), or give a weaker model")
        if scale != 1 and not config.image.label_dropout:
            raise ValueError(f"guidance = {scale}: other than 1 only for a model trained with label_dropout")
        return
    if scale == 1:
        raise ValueError("guidance = 1 does not use a guide: use another guidance, such as 2, or omit the guide")
    process, names = config.diffusion.process, ("resolution", "channels", "classes")
    for section, keys in (("image", names), ("diffusion", ("process", "condition", *PROCESSES[process][1]))):
        for key in keys:
            ours, theirs = (each.source[section].get(key) for each in (config, guide))
            if ours != theirs:
                raise ValueError(
                    f"the guide does not fit this model: its {section}.{key} is {theirs!r}, and this model's {ours!r}; "
                    "use a weaker model of the same images, such as one trained for less time"
                )


def _check_low_res(config: ModelConfig, count: int, low_res: tuple[int, ...] | None) -> None:
    """Require small images for a super-resolution model, and refuse them for any other."""
    scale, image = config.diffusion.scale, config.image
    if not scale and low_res is not None:
        raise ValueError("this model was not trained for super-resolution (diffusion.condition = none)")
    if scale:
        side = image.resolution // scale
        needed = (count, side, side, image.channels)
        if low_res is None:
            raise ValueError(
                f"this model enlarges images of {side} x {side} pixels by {scale} (diffusion.condition) and needs them "
                "as input: use `ddpm restore super-resolution --model ... --input ...`"
            )
        if low_res != needed:
            raise ValueError(f"small images of shape {low_res}; this model needs {needed}")
