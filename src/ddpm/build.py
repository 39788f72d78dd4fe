"""Parameters to objects: the only place that turns a name into a thing."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ddpm.diffusion import schedule
from ddpm.diffusion.denoiser import Denoiser
from ddpm.nets.unet import UNet


def denoiser(config: Mapping[str, Any]) -> Denoiser:
    """A denoiser with fresh weights from a config's `image`, `net` and `diffusion` sections of plain values.

    Draws the weights from torch's global generator: seed it first.
    """
    image, net, diffusion = config["image"], config["net"], config["diffusion"]
    classes = len(image["classes"])
    unet = UNet(image["channels"], image["resolution"], classes + 1 if classes else 0, **net)
    betas = schedule.betas(diffusion["schedule"], diffusion["steps"], diffusion["beta_start"], diffusion["beta_end"])
    return Denoiser(unet, schedule.sigmas(betas), diffusion["prediction"], diffusion["sigma_data"])


def optimizer(module: nn.Module, name: str, *, lr: float, weight_decay: float, beta2: float) -> torch.optim.Optimizer:
    """adam, adamw (decoupled weight decay) or sgd (momentum 0.9)."""
    parameters = list(module.parameters())
    fused = parameters[0].device.type in {"cpu", "cuda"}
    match name:
        case "adam":
            return torch.optim.Adam(parameters, lr=lr, betas=(0.9, beta2), weight_decay=weight_decay, fused=fused)
        case "adamw":
            return torch.optim.AdamW(parameters, lr=lr, betas=(0.9, beta2), weight_decay=weight_decay, fused=fused)
        case "sgd":
            return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=weight_decay, fused=fused)
        case _:
            raise KeyError(f"optimizer {name} is not one of adam, adamw, sgd")
