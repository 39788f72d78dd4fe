"""Optimisers by name: the rows of `train.optimizer`."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from ddpm.diffusion.denoiser import Denoiser
from ddpm.model import build
from ddpm.training.muon import Muon


class Settings(NamedTuple):
    """Settings that optimisers share. Learning rates are peaks; muon_lr is that of the matrices which Muon updates."""

    lr: float
    weight_decay: float = 0.0
    beta2: float = 0.999
    muon_lr: float = 0.02

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


def muon(denoiser: Denoiser, settings: Settings, fused: bool) -> torch.optim.Optimizer:
    """Muon for hidden matrices and AdamW for all other parameters (Jordan et al. 2024)."""
    hidden = build.hidden_weights(denoiser.net)
    chosen = set(map(id, hidden))
    others = [parameter for parameter in denoiser.parameters() if id(parameter) not in chosen]
    return Muon(
        hidden, others, muon_lr=settings.muon_lr, lr=settings.lr, betas=settings.betas,
        weight_decay=settings.weight_decay, fused=fused,
    )  # fmt: skip


OPTIMIZERS: dict[str, Make] = {"adam": adam, "adamw": adamw, "sgd": sgd, "muon": muon}


def optimizer(denoiser: Denoiser, name: str, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser of a row. Raises KeyError for an unknown name.

    The loop sets the learning rate of each group: its schedule of `train.lr`, times the group's `lr_factor` if it has
    one. Create the optimiser after sharding and after a move to another device.
    """
    fused = next(denoiser.parameters()).device.type in {"cpu", "cuda"}
    return OPTIMIZERS[name](denoiser, settings, fused)
