"""EfficientNet-Lite0 with its published ImageNet weights: an extractor for images without labels.

EfficientNet (Tan & Le 2019) without squeeze-and-excitation and with ReLU6 in place of swish (Liu 2020).
"""

import re
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ddpm.metrics import extractors, published
from ddpm.metrics.extractors import PublishedExtractor

FILE, SHA256 = published.EFFICIENTNET_FILE, published.EFFICIENTNET_SHA256

STAGES = (
    # blocks, kernel, stride, expansion, output channels (Tan & Le 2019, table 1)
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3  # of batch normalisation, as trained
RENAMED = (
    (r"^_conv_stem", "stem.conv"),
    (r"^_bn0", "stem.norm"),
    (r"^_blocks\.(\d+)\._expand_conv", r"blocks.\1.expand.conv"),
    (r"^_blocks\.(\d+)\._bn0", r"blocks.\1.expand.norm"),
    (r"^_blocks\.(\d+)\._depthwise_conv", r"blocks.\1.depthwise.conv"),
    (r"^_blocks\.(\d+)\._bn1", r"blocks.\1.depthwise.norm"),
    (r"^_blocks\.(\d+)\._project_conv", r"blocks.\1.project.conv"),
    (r"^_blocks\.(\d+)\._bn2", r"blocks.\1.project.norm"),
    (r"^_conv_head", "head.conv"),
    (r"^_bn1", "head.norm"),
    (r"^_fc", "classifier"),
)
"""Names in the published file, and here."""


class ConvNorm(nn.Module):
    """Convolution padded as TensorFlow's SAME, batch normalisation, and ReLU6 unless `linear`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0  # with a stride, it depends on the size
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.kernel, self.stride, self.linear = kernel, stride, linear

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        if self.stride > 1:
            width, height = (_same(size, self.kernel, self.stride) for size in (x.shape[3], x.shape[2]))
            x = F.pad(x, (*width, *height))
        h: Tensor = self.norm(self.conv(x))
        return h if self.linear else F.relu6(h, inplace=True)


class InvertedBottleneck(nn.Module):
    """MBConv (Sandler et al. 2018): expand, filter each channel, project; with a skip where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = ConvNorm(inputs, inner) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(inner, inner, kernel, stride, groups=inner)
        self.project = ConvNorm(inner, outputs, linear=True)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, ceil(H / stride), ceil(W / stride))."""
        h: Tensor = self.project(self.depthwise(self.expand(x)))
        return h.add_(x) if self.skip else h


class EfficientNetLite0(nn.Module):
    """`features` maps images (B, 3, 224, 224) in about [-1, 1] to pooled features (B, 1280); `forward` to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM, 3, 2)
        blocks, inputs = [], STEM
        for count, kernel, stride, expansion, outputs in STAGES:
            for number in range(count):
                blocks.append(InvertedBottleneck(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(inputs, HEAD)
        self.classifier = nn.Linear(HEAD, CLASSES)

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) to features (B, 1280), each in [0, 6]."""
        h: Tensor = self.head(self.blocks(self.stem(images)))
        return h.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) to logits (B, 1000) of the ImageNet classes."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class EfficientNetExtractor(PublishedExtractor):
    """Features are the 1,280 pooled activations; logits are those of the 1,000 ImageNet classes.

    Images are resized to 224 x 224 by `resize` and scaled by (x - 127) / 128, as in training. Grey images
    are repeated over three channels.
    """

    name = "efficientnet-lite0"
    side = 224
    batch = 50
    dimension = HEAD

    def __init__(self, network: EfficientNetLite0, resize: str, device: str = "cpu", sha256: str = SHA256) -> None:
        """sha256: hash of the published weights file. Raises ExtractorError for an unknown policy."""
        super().__init__(resize, sha256, device)
        self.network = network.to(device).eval()
        for weight in self.network.parameters():
            if weight.ndim == 4:  # twice as fast on a CPU
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features (N, 1280) to logits (N, 1000)."""
        return extractors.linear(features, self.network.classifier.weight, self.network.classifier.bias)

    def _features(self, images: Tensor) -> Tensor:
        scaled = (images.to(self.device) - 127) / 128
        features: Tensor = self.network.features(scaled.contiguous(memory_format=torch.channels_last))
        return features


def from_published(weights: bytes, sha256: str = SHA256) -> EfficientNetLite0:
    """Build the network from the content of the published file. Raises ExtractorError for other content."""
    extractors.require_published(weights, FILE, sha256, f"Reinstall {published.EFFICIENTNET_PACKAGE}")
    state = extractors.published_tensors(weights, FILE)
    return from_weights({_renamed(name): tensor for name, tensor in state.items()}, FILE)


def from_weights(state: Mapping[str, Tensor], name: str = "EfficientNet-Lite0") -> EfficientNetLite0:
    """Build the network from its own state dict. Raises ExtractorError for other names or shapes."""
    with torch.device("meta"):
        network = EfficientNetLite0()
    return extractors.with_weights(network, state, name)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after for an output of ceil(size / stride); an odd value goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _renamed(name: str) -> str:
    for pattern, ours in RENAMED:
        name, count = re.subn(pattern, ours, name)
        if count:
            break
    return name
