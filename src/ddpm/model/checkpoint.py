"""Checkpoints: a folder with the weights of a trained model and the config that sampling needs.

weights.safetensors: EMA weights; raw.safetensors: weights of the last step; config.json: image, net and diffusion
sections, with the digest of the training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm.common import files
from ddpm.diffusion.denoiser import Denoiser
from ddpm.model import build
from ddpm.model.config import DENOISING, ModelConfig
from ddpm.runtime.device import choose_device

WEIGHTS, RAW, CONFIG = "weights.safetensors", "raw.safetensors", "config.json"
EMBEDDED_CLASSES = "net.embedding.classes.weight"  # of every class-conditional network


@dataclass(frozen=True)
class Model:
    """A loaded checkpoint. `sha256` is that of its weights file; `config` is its config.json."""

    denoiser: Denoiser
    config: ModelConfig
    sha256: str

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.config.image.resolution

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.config.image.channels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels; empty for a model without."""
        return self.config.image.classes

    @property
    def steps(self) -> int:
        """T, the steps of the forward process."""
        return self.config.diffusion.steps


def save(folder: Path, config: ModelConfig, averaged: Mapping[str, Tensor], raw: Mapping[str, Tensor]) -> None:
    """Write a checkpoint; the folder appears whole or not at all."""
    with files.fresh_folder(folder) as new:
        files.write_tensors(new / WEIGHTS, averaged)
        files.write_tensors(new / RAW, raw)
        files.write_json(new / CONFIG, config.as_json())


def read_config(folder: Path) -> ModelConfig:
    """Read the config of a checkpoint, without its weights. Raises ValueError or FileNotFoundError."""
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a checkpoint: it has no {CONFIG}. Train a model first (`make run`).")
    try:
        return ModelConfig.from_json(files.read_json(path))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as the config of a checkpoint: {error}") from error


def fitting(folder: Path, config: ModelConfig) -> str:
    """SHA-256 of the weights of a checkpoint that training with `config` can start from.

    Raises ValueError that names what differs, FileNotFoundError for what is missing.
    """
    teacher = read_config(folder)
    ours, theirs = config.source, teacher.source
    teacher.require_denoiser(f"train.initial = {folder}: a training")
    parts = (
        *(("net", key) for key in {**ours["net"], **theirs["net"]} if key != "dropout"),
        ("image", "channels"), ("diffusion", "variance"), ("diffusion", "condition"),
        *([("image", "classes")] if theirs["image"]["classes"] else []),  # an unlabelled model can learn classes
        *(_of_a_teacher(ours, theirs) if config.objective != DENOISING else []),
    )  # fmt: skip
    for section, key in parts:
        here, there = ours[section].get(key), theirs[section].get(key)
        if here != there:
            raise ValueError(
                f"train.initial = {folder}: {section}.{key} is {there!r} there and {here!r} here; make them equal"
            )
    return files.sha256_file(folder / WEIGHTS)


def _of_a_teacher(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a consistency model has in common with its teacher: the noise levels, the prediction and the classes."""
    keys = {*ours["diffusion"], *theirs["diffusion"]} - {"weighting"}
    return [*(("diffusion", key) for key in sorted(keys)), ("image", "classes")]


def starting(folder: Path, fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The EMA weights of a checkpoint as initial weights; fresh: those of the network to be trained.

    An unlabelled model that is to learn classes gets zeros as class embeddings, so that it initially ignores the label.
    """
    weights = files.read_tensors(folder / WEIGHTS)
    if EMBEDDED_CLASSES in fresh and EMBEDDED_CLASSES not in weights:
        weights[EMBEDDED_CLASSES] = torch.zeros_like(fresh[EMBEDDED_CLASSES], device="cpu")
    return weights


def load(folder: Path, *, weights: str = "weights", device: str = "cpu") -> Model:
    """Load a checkpoint, ready to sample. weights: `weights` (averaged) or `raw`.

    Raises FileNotFoundError for a missing file, ValueError for a damaged one or one that does not fit its config.
    """
    config = read_config(folder)
    path = folder / {"weights": WEIGHTS, "raw": RAW}[weights]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. Run the train stage again.")
    denoiser = build.denoiser(config)
    try:
        denoiser.load_state_dict(files.read_tensors(path))
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit {CONFIG} beside it: {error}") from error
    denoiser.requires_grad_(requires_grad=False).eval().to(choose_device(device))
    return Model(denoiser, config, files.sha256_file(path))
