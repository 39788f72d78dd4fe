"""A diffusion model small enough to train in a test, and images that it can learn."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddpm.diffusion import consistency, objectives
from ddpm.model import build, checkpoint
from ddpm.model.config import ModelConfig
from ddpm.runtime.device import channels_last
from ddpm.sampling.to_folder import sample_to_folder
from ddpm.training import batches, optimizers, state
from ddpm.training.batches import TrainingSet
from ddpm.training.config import TrainConfig

if TYPE_CHECKING:
    from ddpm.config import params

CONFIG: dict[str, Any] = {
    "image": {"resolution": 8, "channels": 1, "classes": ["dark", "light"], "label_dropout": 0.1},
    "net": {"kind": "unet", "channels": 8, "multipliers": [1, 2], "blocks": 1, "attention": [4],
            "middle_attention": True, "head_channels": 8, "groups": 4, "scale_shift": True, "resample": "conv",
            "dropout": 0.1, "patch": 1, "layout": "adm"},
    "diffusion": {"process": "ddpm", "steps": 50, "schedule": "cosine", "beta_start": 1e-4, "beta_end": 0.02,
                  "prediction": "v", "sigma_data": 0.5, "variance": "fixed", "condition": "none"},
    "digest": "0" * 64,
}  # fmt: skip
TRAIN_CONFIG = TrainConfig(
    seed=3, images=160, batch=8, accumulation=1, lr=2e-3, warmup=16, decay=0.5, clip=1.0, ema=64, label_dropout=0.1,
    flip=True, precision="fp32", weighting="output", condition_scale=0,
    log_every=24, sample_every=80, checkpoint_every=40,
)  # fmt: skip

OPTIMIZER = optimizers.Settings(lr=2e-3, weight_decay=0.01, beta2=0.99, muon_lr=0.02)


def typed(config: dict[str, Any] = CONFIG) -> ModelConfig:
    """Convert to the typed form of a checkpoint."""
    return ModelConfig.from_json(config)


def unlabelled(config: dict[str, Any] = CONFIG) -> dict[str, Any]:
    """The same model without labels."""
    return {**config, "image": {**config["image"], "classes": []}}


def enlarging(config: dict[str, Any] = CONFIG) -> dict[str, Any]:
    """The same model, to be trained for super-resolution by 2."""
    return {**config, "diffusion": {**config["diffusion"], "condition": "low-resolution-2"}}


def data(labelled: bool = True) -> TrainingSet:
    """30 images, of which 27 are for training: dark ones with label 0, light ones with label 1."""
    generator = np.random.default_rng(0)
    labels = np.arange(30) % 2
    images = (generator.integers(0, 60, (30, 8, 8, 1)) + 180 * labels[:, None, None, None]).astype(np.uint8)
    return batches.in_memory(images, labels, np.arange(27), 2 if labelled else 0, torch.device("cpu"))


def training(
    config: dict[str, Any] = CONFIG, optimizer: str = "adamw", objective: objectives.Objective = objectives.denoising
) -> state.State:
    """A training at step 0."""
    torch.manual_seed(0)
    denoiser = build.denoiser(ModelConfig.from_json(config))
    channels_last(denoiser)
    ema = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    chosen = optimizers.optimizer(denoiser, optimizer, OPTIMIZER)
    return state.State(denoiser, ema, chosen, objective=objective)


def distilling(config: dict[str, Any] = CONFIG) -> objectives.Objective:
    """The consistency objective, with a guided teacher of random weights."""
    torch.manual_seed(2)
    teacher = build.denoiser(ModelConfig.from_json(config)).eval().requires_grad_(requires_grad=False)
    for parameter in teacher.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    guided = consistency.guided(teacher, len(config["image"]["classes"]), 1.35)
    return partial(objectives.OBJECTIVES["consistency"], teacher=guided, hops=5)


def random_checkpoint(folder: Path, config: dict[str, Any] = CONFIG) -> Path:
    """A checkpoint with random weights everywhere; raw and averaged differ."""
    torch.manual_seed(1)
    denoiser = build.denoiser(ModelConfig.from_json(config))
    averaged = {name: torch.randn_like(tensor) * 0.2 for name, tensor in denoiser.state_dict().items()}
    checkpoint.save(
        folder, ModelConfig.from_json(config), averaged, {name: tensor * 2 for name, tensor in averaged.items()}
    )
    return folder


def draw(model: Path, out: Path, sample: "params.Sample", **options: Any) -> None:
    """The samples of a folder, by the parameters of section sample."""
    sample_to_folder(model, out, sample.sampling, **sample.drawing, **options)
