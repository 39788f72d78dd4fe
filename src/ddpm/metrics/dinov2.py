"""DINOv2 ViT-L/14 (Oquab et al. 2024), the network of FD-DINOv2 (Stein et al. 2023), with its published weights."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ddpm.metrics import extractors, published
from ddpm.metrics.extractors import PublishedExtractor

FILE, SHA256 = published.DINOV2_FILE, published.DINOV2_SHA256
URL = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{FILE}"

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels in 0..1
OFFSET = 0.1  # added to the new side of the position embedding before its scale is computed, as published
EPSILON = 1e-6  # of layer normalisation


@dataclass(frozen=True)
class Shape:
    """Sizes of the vision transformer. grid: patches along a side of the training images (518 pixels)."""

    width: int = 1024
    depth: int = 24
    heads: int = 16
    grid: int = 37
    patch: int = 14


VIT_L14 = Shape()


class PatchEmbedding(nn.Module):
    """A linear map of each patch."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, shape.width, shape.patch, shape.patch)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) to tokens (B, (S / patch)^2, width)."""
        tokens: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return tokens


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same shape."""
        batch, count, width = x.shape
        q, k, v = self.qkv(x).view(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, width)
        attended: Tensor = self.proj(h)
        return attended


class FeedForward(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same shape."""
        h: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return h


class LayerScale(nn.Module):
    """A learned factor per channel (Touvron et al. 2021)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same shape."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and feed-forward layer, each normalised first, scaled and added."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(shape.width, eps=EPSILON) for _ in range(2))
        self.attn = Attention(shape.width, shape.heads)
        self.mlp = FeedForward(shape.width)
        self.ls1, self.ls2 = LayerScale(shape.width), LayerScale(shape.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same shape."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        h: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return h


class VisionTransformer(nn.Module):
    """Images (B, 3, S, S), normalised by MEAN and STD, to the class token's features (B, width).

    Parameters have the names of the published file; `mask_token` is only used in its training.
    """

    def __init__(self, shape: Shape = VIT_L14) -> None:
        super().__init__()
        self.shape = shape
        self.patch_embed = PatchEmbedding(shape)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + shape.grid**2, shape.width))
        self.mask_token = nn.Parameter(torch.zeros(1, shape.width))
        self.blocks = nn.Sequential(*(Block(shape) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(shape.width, eps=EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S), S divisible by the patch, to (B, width)."""
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), self.patch_embed(images)], dim=1)
        features: Tensor = self.norm(self.blocks(tokens + self._positions(images.shape[2] // self.shape.patch)))[:, 0]
        return features

    def _positions(self, side: int) -> Tensor:
        """The position embedding for side x side patches, by bicubic interpolation: (1, 1 + side^2, width)."""
        grid = self.shape.grid
        if side == grid:
            return self.pos_embed
        patches = self.pos_embed[:, 1:].view(1, grid, grid, -1).permute(0, 3, 1, 2)
        found = F.interpolate(patches, scale_factor=(side + OFFSET) / grid, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], found.flatten(2).transpose(1, 2)], dim=1)


class DinoV2Extractor(PublishedExtractor):
    """Features are the 1,024 values of the normalised class token. Without logits there is no Inception Score.

    Images are resized to 224 x 224 by `resize` (`clean` corresponds to clean resizing in FD-DINOv2's code). Grey
    images are repeated over three channels.
    """

    name = "dinov2"
    side = 224
    batch = 25

    def __init__(
        self, weights: bytes, resize: str, sha256: str = SHA256, device: str = "cpu", shape: Shape = VIT_L14
    ) -> None:
        """weights: content of the published file. Raises ExtractorError for other content."""
        super().__init__(resize, sha256, device)
        extractors.require_published(weights, FILE, sha256, "Download it again: `ddpm weights dinov2`")
        self.dimension = shape.width
        self.network = _network(weights, shape).to(device)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return an empty array (N, 0): the network has no logits."""
        return np.empty((len(features), 0))

    def _prepared(self, images: NDArray[np.uint8]) -> Tensor:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return (super()._prepared(images) / 255 - mean) / std

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images.to(self.device))
        return features


def _network(weights: bytes, shape: Shape) -> VisionTransformer:
    """Build the network; only tensors are read from the weights. Raises ExtractorError."""
    with torch.device("meta"):
        network = VisionTransformer(shape)
    return extractors.with_weights(network, extractors.published_tensors(weights, FILE), FILE)
