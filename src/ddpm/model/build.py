"""Construction of networks and processes: the only place that maps their names to objects."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ddpm.diffusion import process as processes
from ddpm.diffusion.denoiser import Denoiser
from ddpm.model.config import ModelConfig
from ddpm.nets.dit import Block, DiT
from ddpm.nets.layers import Attention, ResidualBlock
from ddpm.nets.plain import Plain, Stack
from ddpm.nets.unet import UNet


def denoiser(config: ModelConfig) -> Denoiser:
    """Build a denoiser with fresh weights from the `image`, `net` and `diffusion` sections of a config.

    Draws the weights from torch's global generator: seed it first.
    """
    diffusion = config.diffusion
    return Denoiser(network(config), process(diffusion.options), diffusion.prediction, diffusion.sigma_data)


def process(diffusion: Mapping[str, Any]) -> processes.Process:
    """The forward process of a `diffusion` section."""
    make, names = processes.PROCESSES[diffusion["process"]]
    return make(**{name: diffusion[name] for name in names})


def network(config: ModelConfig) -> nn.Module:
    """Build the network of a config, with twice the outputs for a learned variance and more inputs for a condition.

    Raises KeyError for an unknown kind.
    """
    image, diffusion = config.image, config.diffusion
    classes = len(image.classes)
    outputs = image.channels * (2 if diffusion.learned_variance else 1)
    inputs = image.channels * (2 if diffusion.scale else 1)
    make = NETS[config.net.kind]
    return make(inputs, outputs, image.resolution, classes + 1 if classes else 0, **config.net.options)


def units(network: nn.Module) -> list[nn.Module]:
    """The modules of a network, none inside another, that can be gathered one at a time when processes divide it."""
    return [module for module in network.modules() if isinstance(module, UNITS)]


UNITS = (Attention, Block, ResidualBlock, Stack)
NETS: dict[str, Callable[..., nn.Module]] = {"unet": UNet, "dit": DiT, "plain": Plain}
