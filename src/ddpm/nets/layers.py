"""The pieces of a diffusion network."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """Start a layer at zero, so that the block around it starts as the identity (Dhariwal and Nichol 2021)."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def sinusoids(time: Tensor, dimension: int) -> Tensor:
    """Cosines and sines of t at `dimension / 2` frequencies from 1 to 1/10000 (Ho et al. 2020, appendix B).

    time (B,) float; returns (B, dimension) float32.
    """
    half = dimension // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=time.device, dtype=torch.float32) / half)
    angles = time.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Embedding(nn.Module):
    """Time, and a class when there is one, as a vector: an MLP of sinusoids plus a learnt row per class.

    classes: number of labels including the one that stands for none; 0 for an unlabelled network.
    """

    def __init__(self, channels: int, dimension: int, classes: int) -> None:
        super().__init__()
        self.channels = channels
        self.linear1 = nn.Linear(channels, dimension)
        self.linear2 = nn.Linear(dimension, dimension)
        self.classes = nn.Embedding(classes, dimension) if classes else None

    def forward(self, time: Tensor, labels: Tensor | None) -> Tensor:
        """time (B,), labels (B,) int64 or None; returns (B, dimension)."""
        embedding: Tensor = self.linear2(functional.silu(self.linear1(sinusoids(time, self.channels))))
        if self.classes is not None:
            if labels is None:
                raise ValueError("this network is class-conditional: give it labels, or its label for none")
            embedding = embedding + self.classes(labels)
        elif labels is not None:
            raise ValueError("this network was trained without labels: it cannot take any")
        return embedding


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice, around which the input is added (Ho et al. 2020; ADM).

    The embedding is added between the two, or, with `scale_shift`, scales and shifts the second normalisation.
    """

    def __init__(
        self, inputs: int, outputs: int, embedding: int, groups: int, dropout: float, *, scale_shift: bool
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.norm1 = nn.GroupNorm(math.gcd(groups, inputs), inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.embed = nn.Linear(embedding, outputs * (2 if scale_shift else 1))
        self.norm2 = nn.GroupNorm(groups, outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (B, inputs, H, W), embedding (B, E); returns (B, outputs, H, W)."""
        hidden = self.conv1(functional.silu(self.norm1(x)))
        embedded = self.embed(functional.silu(embedding))[:, :, None, None]
        if self.scale_shift:
            scale, shift = embedded.chunk(2, dim=1)
            hidden = self.norm2(hidden) * (1 + scale) + shift
        else:
            hidden = self.norm2(hidden + embedded)
        result: Tensor = self.shortcut(x) + self.conv2(self.dropout(functional.silu(hidden)))
        return result


class Attention(nn.Module):
    """Self-attention among the pixels, in heads of `head_channels` (Vaswani et al. 2017)."""

    def __init__(self, channels: int, head_channels: int, groups: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm = nn.GroupNorm(groups, channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.project = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W); returns the same shape."""
        batch, channels, height, width = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C)
        heads = self.query_key_value(tokens).view(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*heads.unbind(0))  # (B, heads, HW, C / heads)
        mixed = self.project(mixed.transpose(1, 2).reshape(batch, height * width, channels))
        result: Tensor = x + mixed.transpose(1, 2).view(batch, channels, height, width)
        return result


class Downsample(nn.Module):
    """Half the side, by a strided 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H/2, W/2)."""
        halved: Tensor = self.conv(x)
        return halved


class Upsample(nn.Module):
    """Twice the side: nearest neighbours, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2H, 2W)."""
        doubled: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled
