"""Export of a checkpoint as a folder for `diffusers.DDPMPipeline.from_pretrained`."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ddpm.common import files
from ddpm.common.class_names import class_index
from ddpm.diffusion import schedule
from ddpm.exchange import names
from ddpm.exchange.weights import theirs
from ddpm.model import checkpoint
from ddpm.model.config import ImageConfig, ModelConfig

NONE = "none"
CARRIED: dict[str, tuple[Any, ...]] = {
    "net.kind": ("unet",),
    "diffusion.process": ("ddpm",),
    "diffusion.prediction": tuple(names.PREDICTIONS),
    "diffusion.condition": ("none",),
}
"""Values that the format can represent; other keys of the net are exported with any value."""


def export(model: Path, folder: Path, label: str | None = None) -> None:
    """Write the EMA weights of the checkpoint `model` to the new folder `folder`.

    label: a class by name, or `none`, to restrict a class-conditional model to, so that a pipeline without labels can
    run it: the class embedding, a summand of the time embedding, is added to the bias of its last layer. Without
    `label` all classes are exported (`num_class_embeds`, the last one for none). A network on patches of pixels comes
    with its own module, which diffusers imports with `trust_remote_code=True`.
    Raises ValueError that names all unsupported values and the supported ones.
    """
    config = checkpoint.read_config(model)
    config.require_denoiser("an export for diffusers")
    _check(config)
    weights = {
        name.removeprefix("net."): value for name, value in files.read_tensors(model / checkpoint.WEIGHTS).items()
    }
    if label is not None:
        weights = _restricted(weights, config.image, label)
    classes = len(weights["embedding.classes.weight"]) if "embedding.classes.weight" in weights else None
    unet = unet_config(config, classes)
    patched = unet["_class_name"] == names.PATCHED_CLASS
    renamed = {names.PREFIX * patched + name: value for name, value in theirs(weights).items()}
    with files.fresh_folder(folder) as new:
        pipeline = {
            "_class_name": "DDPMPipeline",
            "_diffusers_version": "0.27.0",  # the oldest that knows every field written here
            "scheduler": ["diffusers", "DDPMScheduler"],
            "unet": [names.PATCHED if patched else "diffusers", unet["_class_name"]],
        }
        files.write_json(new / names.PIPELINE, pipeline)
        files.write_json(new / names.UNET, unet)
        files.write_json(new / names.SCHEDULER, scheduler_config(config.diffusion.options))
        files.write_tensors(new / Path(names.UNET).with_name(names.WEIGHTS), renamed, {"format": "pt"})
        if patched:
            module = f"{names.PATCHED}.py"  # stored as text, since this package does not import diffusers
            shutil.copyfile(Path(__file__).with_name(f"{module}.txt"), new / Path(names.UNET).with_name(module))


def unet_config(config: ModelConfig, classes: int | None) -> dict[str, Any]:
    """Convert a checkpoint's config to that of UNet2DModel, or of `patched_unet` around one."""
    patch, image = config.net.patch, config.image
    if patch == 1:
        return _plain_config(config, image, classes)
    smaller = replace(image, resolution=image.resolution // patch, channels=image.channels * patch**2)
    inside = _plain_config(config, smaller, classes)
    channels = {name: inside[name] // patch**2 for name in ("in_channels", "out_channels")}
    whole = {"_class_name": names.PATCHED_CLASS, "sample_size": image.resolution, **channels, "patch": patch}
    return whole | {names.INSIDE: inside}


def _plain_config(config: ModelConfig, image: ImageConfig, classes: int | None) -> dict[str, Any]:
    net = config.net.options
    plain = names.LEVELS[net["resample"]]
    attended = [image.resolution // 2**level in net["attention"] for level in range(len(net["multipliers"]))]
    down, up = ([names.ATTENTION[way] if each else plain[way] for each in attended] for way in (0, 1))
    return {
        "_class_name": "UNet2DModel",
        "sample_size": image.resolution,
        "in_channels": image.channels,
        "out_channels": image.channels * (2 if config.diffusion.learned_variance else 1),
        "block_out_channels": [net["channels"] * multiplier for multiplier in net["multipliers"]],
        "layers_per_block": net["blocks"],
        "down_block_types": down,
        "up_block_types": up[::-1],
        "downsample_type": names.RESAMPLES[net["resample"]],
        "upsample_type": names.RESAMPLES[net["resample"]],
        "add_attention": net["middle_attention"],
        "attention_head_dim": net["head_channels"],
        "norm_num_groups": net["groups"],
        "attn_norm_num_groups": net["groups"],
        "resnet_time_scale_shift": names.SHIFTS[net["scale_shift"]],
        "dropout": net["dropout"],
        "num_class_embeds": classes,
        "flip_sin_to_cos": True,
        **names.LAYOUTS[net["layout"]],
    }


def scheduler_config(diffusion: Mapping[str, Any]) -> dict[str, Any]:
    """Build the config of DDPMScheduler: the exact betas, and the parameters they derive from."""
    steps = diffusion["steps"]
    betas = schedule.betas(diffusion["schedule"], steps, diffusion["beta_start"], diffusion["beta_end"])
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": steps,
        "trained_betas": betas.tolist(),
        "beta_schedule": names.SCHEDULES[diffusion["schedule"]],
        "beta_start": diffusion["beta_start"] * 1000 / steps,
        "beta_end": diffusion["beta_end"] * 1000 / steps,
        "prediction_type": names.PREDICTIONS[diffusion["prediction"]],
        "variance_type": names.VARIANCES[diffusion["variance"]],
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "timestep_spacing": "trailing",  # starts from pure noise for any number of steps (Lin et al. 2024)
    }


def _check(config: ModelConfig) -> None:
    problems = []
    for name, possible in CARRIED.items():
        section, key = name.split(".")
        value = config.source[section].get(key, possible[0])
        if value not in possible:
            problems.append(f"{name} = {value} (supported: {', '.join(map(str, possible))})")
    multipliers = config.net.options.get("multipliers", [1])
    if multipliers[0] != 1:
        problems.append(f"net.multipliers = {multipliers} (supported: lists that begin with 1)")
    if problems:
        raise ValueError(f"diffusers does not support this model: {'; '.join(problems)}")


def _restricted(weights: Mapping[str, Tensor], image: ImageConfig, label: str) -> dict[str, Tensor]:
    """Restrict the weights to one class, without labels. Raises ValueError."""
    classes = list(image.classes)
    unlabelled = bool(classes) and label == NONE and NONE not in classes
    if unlabelled and not image.label_dropout:
        raise ValueError(
            f"label {label}: this model was not trained without labels (train.label_dropout = 0); name a class"
        )
    index = len(classes) if unlabelled else class_index(label, classes, besides=NONE)
    row = weights["embedding.classes.weight"][index]
    kept = {name: value for name, value in weights.items() if name != "embedding.classes.weight"}
    return kept | {"embedding.linear2.bias": kept["embedding.linear2.bias"] + row}
