"""Optimisers by name: the rows of `train.optimizer`."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from ddpm.diffusion.denoiser import Denoiser


class Settings(NamedTuple):
    """Settings that optimisers share. lr: the peak learning rate."""

    lr: float
    weight_decay: float = 0.0
    beta2: float = 0.999

    @property
    def betas(self) -> tuple[float, float]:
        """Decay of the gradient average and of the squared-gradient average (Adam)."""
        return 0.9, self.beta2


Make = Callable[[Denoiser, Settings, bool], torch.optim.Optimizer]


def adam(denoiser: Denoiser, settings: Settings, fused: bool) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), with weight decay added to the gradient."""
    return torch.optim.Adam(
        list(denoiser.parameters()), settings.lr, settings.betas, weight_decay=settings.weight_decay, fused=fused
    )


def adamw(denoiser: Denoiser, settings: Settings, fused: bool) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(
        list(denoiser.parameters()), settings.lr, settings.betas, weight_decay=settings.weight_decay, fused=fused
    )


def sgd(denoiser: Denoiser, settings: Settings, fused: bool) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum 0.9."""
    return torch.optim.SGD(
        list(denoiser.parameters()), settings.lr, momentum=0.9, weight_decay=settings.weight_decay, fused=fused
    )


OPTIMIZERS: dict[str, Make] = {"adam": adam, "adamw": adamw, "sgd": sgd}


def optimizer(denoiser: Denoiser, name: str, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser of a row. Raises KeyError for an unknown name.

    Create it after sharding and after a move to another device.
    """
    fused = next(denoiser.parameters()).device.type in {"cpu", "cuda"}
    return OPTIMIZERS[name](denoiser, settings, fused)
