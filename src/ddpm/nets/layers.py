"""The pieces of a diffusion network."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ddpm.nets.dimensions import CONVOLUTIONS, per_position
from ddpm.nets.group_norm import norm_silu

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """Start a layer at zero, so that the block around it starts as the identity (Dhariwal and Nichol 2021)."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def like_layout(x: Tensor, weight: Tensor) -> Tensor:
    """x (B, C, H, W) in channels-last order if `weight`, of several input channels, is; else, and in 1-D, as it is.

    A convolution of one input channel answers in the default order, which residual connections would keep.
    """
    if x.ndim != 4 or weight.is_contiguous() or not weight.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous(memory_format=torch.channels_last)


def sinusoids(time: Tensor, dimension: int, *, reaches_last: bool = False) -> Tensor:
    """Cosines and sines of t at `dimension / 2` frequencies that fall geometrically from 1 towards 1/10000.

    reaches_last: the lowest frequency is 1/10000 itself (Ho et al. 2020), and not one step before it (Dhariwal and
    Nichol 2021). time (B,) float; returns (B, dimension) float32.
    """
    half = dimension // 2
    index = torch.arange(half, device=time.device, dtype=torch.float32)
    frequencies = torch.exp(-math.log(10000) * index / (half - 1 if reaches_last else half))
    angles = time.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Embedding(nn.Module):
    """Time, and a class when there is one, as a vector: an MLP of sinusoids plus a learnt row per class.

    classes: number of labels including the one that stands for none; 0 for an unlabelled network.
    """

    def __init__(self, channels: int, dimension: int, classes: int, *, reaches_last: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.reaches_last = reaches_last
        self.linear1 = nn.Linear(channels, dimension)
        self.linear2 = nn.Linear(dimension, dimension)
        self.classes = nn.Embedding(classes, dimension) if classes else None

    def forward(self, time: Tensor, labels: Tensor | None) -> Tensor:
        """time (B,), labels (B,) int64 or None; returns (B, dimension)."""
        waves = sinusoids(time, self.channels, reaches_last=self.reaches_last)
        embedding: Tensor = self.linear2(functional.silu(self.linear1(waves)))
        if self.classes is not None:
            if labels is None:
                raise ValueError("this network is class-conditional: give it labels, or its label for none")
            embedding = embedding + self.classes(labels)
        elif labels is not None:
            raise ValueError("this network was trained without labels: it cannot take any")
        return embedding


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, convolution of width 3, twice, around which the input is added (Ho et al. 2020; ADM).

    The embedding is added between the two, or, with `scale_shift`, scales and shifts the second normalisation.
    resize: what halves or doubles the side, of the input and of what the first convolution sees (ADM). dimensions: 1
    or 2, as in `dimensions`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        *,
        groups: int,
        epsilon: float,
        dropout: float,
        scale_shift: bool,
        resize: nn.Module | None = None,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[dimensions]
        self.scale_shift = scale_shift
        self.resize = resize or nn.Identity()
        self.norm1 = nn.GroupNorm(groups, inputs, epsilon)
        self.conv1 = convolution(inputs, outputs, 3, padding=1)
        self.embed = nn.Linear(embedding, outputs * (2 if scale_shift else 1))
        self.norm2 = nn.GroupNorm(groups, outputs, epsilon)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zeroed(convolution(outputs, outputs, 3, padding=1))
        self.shortcut = convolution(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (B, inputs, ...), embedding (B, E); returns (B, outputs, ...), or with the sides resized."""
        hidden = self.conv1(self.resize(norm_silu(self.norm1, x)))
        embedded = self.embed(functional.silu(embedding))
        if self.scale_shift:
            scale, shift = embedded.chunk(2, dim=1)
            hidden = norm_silu(self.norm2, hidden, scale, shift)
        else:
            hidden = norm_silu(self.norm2, hidden + per_position(embedded, hidden))
        result: Tensor = self.shortcut(self.resize(x)) + self.conv2(self.dropout(hidden))
        return result


def attended(query_key_value: Tensor, heads: int) -> Tensor:
    """Every token as a mixture of all, in heads (Vaswani et al. 2017): (B, N, 3 C) to (B, N, C)."""
    batch, count, _ = query_key_value.shape
    parts = query_key_value.view(batch, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = parts.unbind(0)  # each (B, heads, N, C / heads)
    mixed = functional.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).reshape(batch, count, -1)


class Attention(nn.Module):
    """Self-attention among the positions, in heads of `head_channels`."""

    def __init__(self, channels: int, *, head_channels: int, groups: int, epsilon: float) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm = nn.GroupNorm(groups, channels, epsilon)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.project = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, ...); returns the same shape."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, N, C)
        mixed = self.project(attended(self.query_key_value(tokens), self.heads))
        result: Tensor = x + mixed.transpose(1, 2).view(x.shape)
        return result


class Downsample(nn.Module):
    """Half the side, by a strided convolution of width 3.

    centred: padded all round; else on the right and below only, as "same" padding was in Ho et al. 2020.
    """

    def __init__(self, channels: int, *, centred: bool, dimensions: int = 2) -> None:
        super().__init__()
        self.centred = centred
        self.conv = CONVOLUTIONS[dimensions](channels, channels, 3, stride=2, padding=1 if centred else 0)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H/2, W/2), or (B, C, L) to (B, C, L/2); the embedding is of no use here."""
        halved: Tensor = self.conv(x if self.centred else functional.pad(x, (0, 1) * (x.ndim - 2)))
        return halved


class Upsample(nn.Module):
    """Twice the side: nearest neighbours, then a convolution of width 3."""

    def __init__(self, channels: int, *, dimensions: int = 2) -> None:
        super().__init__()
        self.conv = CONVOLUTIONS[dimensions](channels, channels, 3, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2H, 2W), or (B, C, L) to (B, C, 2L); the embedding is of no use here."""
        doubled: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled
