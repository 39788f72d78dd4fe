"""Construction of networks and processes: the only place that maps their names to objects."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ddpm.diffusion import process as processes
from ddpm.diffusion.denoiser import Denoiser
from ddpm.model.config import ModelConfig
from ddpm.nets.dit import Block, DiT
from ddpm.nets.layers import Attention, Embedding, ResidualBlock
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
    dimensions = len(image.domain.shape) - 1
    return make(
        inputs, outputs, image.resolution, classes + 1 if classes else 0, **config.net.options, dimensions=dimensions
    )


def units(network: nn.Module) -> list[nn.Module]:
    """The modules of a network, none inside another, that can be gathered one at a time when processes divide it."""
    return [module for module in network.modules() if isinstance(module, UNITS)]


def hidden_weights(network: nn.Module) -> list[Tensor]:
    """The weights of hidden convolutions and linear layers: 2-D to 4-D, without embeddings, first and last layers."""
    outer = next(layers for kind, layers in OUTER.items() if isinstance(network, kind))  # FSDP derives classes
    excluded = {*outer(network)}
    for module in network.modules():
        if isinstance(module, Embedding):
            excluded |= {*module.modules()}
    layers = (module for module in network.modules() if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear))
    return [layer.weight for layer in layers if layer not in excluded]


UNITS = (Attention, Block, ResidualBlock, Stack)
NETS: dict[str, Callable[..., nn.Module]] = {"unet": UNet, "dit": DiT, "plain": Plain}
OUTER: dict[type[nn.Module], Callable[[Any], tuple[nn.Module, ...]]] = {
    # the first and last layers of each kind: those that read or write examples
    UNet: lambda net: (net.conv_in, net.conv_out),
    DiT: lambda net: (net.patchify, net.modulation, net.project),
    Plain: lambda net: ((*net.encoder, net.middle)[0].convs[0], net.conv_out),
}
