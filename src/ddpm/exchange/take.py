"""Import of a diffusers folder as a checkpoint. Every field of its configs is used, has no effect, or is refused."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm.common import files
from ddpm.exchange import names, read
from ddpm.exchange.weights import ours
from ddpm.model import build, checkpoint
from ddpm.model.config import ModelConfig

LABEL_DROPOUT = 0.1
"""Assumed for a model with a label for none, whose actual dropout is unknown."""


def take(folder: Path, out: Path, classes: Sequence[str] | None = None) -> ModelConfig:
    """Write the UNet2DModel and the scheduler in `folder` as the checkpoint `out`; return its config.

    The files are in the subfolders unet and scheduler, or all in `folder`. classes: class names, one for each label, or
    without the last if it means no class; by default the labels' numbers.
    Raises ValueError that names every unsupported field, FileNotFoundError for a missing file.
    """
    unet, scheduler = _find(folder, names.UNET), _find(folder, names.SCHEDULER)
    problems = read.Problems()
    network, patch = read.unpatched(files.read_json(unet), problems)
    image, net, sine_first = read.unet(network, problems)
    image["resolution"], net["patch"] = image["resolution"] * patch, patch
    diffusion = read.scheduler(files.read_json(scheduler), network, problems)
    problems.stop(folder)
    rows = image.pop("labels")
    image |= _classes(rows, classes)
    config = ModelConfig.from_json({"image": image, "net": net, "diffusion": diffusion})
    path = _weights(unet.parent)
    with torch.device("meta"):
        expected = build.network(config).state_dict()
    there = files.read_tensors(path)
    if patch > 1:
        there = {name.removeprefix(names.PREFIX): value for name, value in there.items()}
    given = _with_row_for_none(there, rows, len(image["classes"]))
    weights = {f"net.{key}": value for key, value in ours(given, expected, sine_first=sine_first).items()}
    digest = files.sha256_json({"config": config.source, "weights": files.sha256_file(path)})
    config = config.extended(digest=digest)
    checkpoint.save(out, config, weights, weights)
    return config


def _find(folder: Path, name: str) -> Path:
    """Find a file in its subfolder, or in the folder itself, as in older published models."""
    candidates = (folder / name, folder / Path(name).name)
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} is not a diffusers folder: it has neither {name} nor {Path(name).name}")


def _weights(folder: Path) -> Path:
    path = folder / names.WEIGHTS
    if path.is_file():
        return path
    others = ", ".join(sorted(each.name for each in folder.glob("diffusion_pytorch_model*"))) or "no weights"
    raise FileNotFoundError(
        f"{path} is missing (found: {others}). Only a single safetensors file is read: a .bin file is a "
        "pickle, which can run any code. In an isolated environment, convert it with diffusers: "
        "`UNet2DModel.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
    )


def _classes(rows: int | None, classes: Sequence[str] | None) -> dict[str, Any]:
    """Return the keys of section `image` that describe the labels. Raises ValueError."""
    if rows is None:
        if classes is not None:
            raise ValueError("this model has no labels (num_class_embeds is null): omit --classes")
        return {"classes": [], "label_dropout": 0.0}
    chosen = [str(i) for i in range(rows)] if classes is None else list(classes)
    if len(chosen) not in {rows, rows - 1} or len(set(chosen)) != len(chosen) or not chosen:
        raise ValueError(
            f"{len(chosen)} classes were given ({', '.join(chosen)}), but this model has {rows} labels: "
            f"give {rows} different names, or {rows - 1} if the last label means no class"
        )
    return {"classes": chosen, "label_dropout": LABEL_DROPOUT if len(chosen) < rows else 0.0}


def _with_row_for_none(weights: dict[str, Tensor], rows: int | None, classes: int) -> Mapping[str, Tensor]:
    """Add a row of zeros for the label `none`, which our networks have, if it is missing; it is never requested."""
    name = "class_embedding.weight"
    if rows != classes or name not in weights:
        return weights
    return weights | {name: torch.cat([weights[name], torch.zeros_like(weights[name][:1])])}
