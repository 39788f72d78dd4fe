"""A plain encoder and decoder of convolutions of width 3: the smallest network, to measure others against.

No residual connections and no attention; skip connections and scales can be taken away as well.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ddpm.nets.dimensions import CONVOLUTIONS, HALVINGS, per_position, shuffle, unshuffle
from ddpm.nets.layers import Embedding, zeroed


class Stack(nn.Module):
    """Convolution of width 3, GroupNorm, the embedding added, ReLU; `blocks` times."""

    def __init__(
        self, inputs: int, outputs: int, blocks: int, embedding: int, groups: int, dimensions: int = 2
    ) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * blocks
        self.convs = nn.ModuleList([CONVOLUTIONS[dimensions](widths[i], outputs, 3, padding=1) for i in range(blocks)])
        self.norms = nn.ModuleList([nn.GroupNorm(groups, outputs) for _ in range(blocks)])
        self.embeds = nn.ModuleList([nn.Linear(embedding, outputs) for _ in range(blocks)])

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (B, inputs, ...), embedding (B, E); returns (B, outputs, ...)."""
        for conv, norm, embed in zip(self.convs, self.norms, self.embeds, strict=True):
            x = functional.relu(norm(conv(x)) + per_position(embed(embedding), x))
        return x


class Plain(nn.Module):
    """`F(x, t, labels)`: x (B, inputs, ...), t (B,) float, labels (B,) int64 or None; (B, outputs, ...) float32.

    Level i has `channels * 2^i` channels and sides `resolution / (patch * 2^i)`; the side is halved by averaging and
    doubled by repeating pixels. skips: each level of the decoder sees what the encoder put out at its side.
    classes: labels including the one for none, or 0. dimensions: 2 for images, 1 for series.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        resolution: int,
        classes: int,
        *,
        channels: int,
        levels: int,
        blocks: int,
        skips: bool,
        groups: int,
        patch: int,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self.patch, self.skips = patch, skips
        widths = [channels * 2**level for level in range(levels)]
        embedding = 4 * channels
        self.embedding = Embedding(channels, embedding, classes)
        self.encoder = nn.ModuleList()
        folded = patch**dimensions
        below = inputs * folded
        self.halve = HALVINGS[dimensions](2)
        for width in widths[:-1]:
            self.encoder.append(Stack(below, width, blocks, embedding, groups, dimensions))
            below = width
        self.middle = Stack(below, widths[-1], 2 * blocks, embedding, groups, dimensions)
        self.decoder = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.decoder.append(Stack(2 * width + width * skips, width, blocks, embedding, groups, dimensions))
        self.conv_out = zeroed(CONVOLUTIONS[dimensions](channels, outputs * folded, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """See the class."""
        embedding = functional.silu(self.embedding(time, labels))
        x = unshuffle(x, self.patch)
        kept = []
        for stack in self.encoder:
            x = stack(x, embedding)
            kept.append(x)
            x = self.halve(x)
        x = self.middle(x, embedding)
        for stack in self.decoder:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            same = kept.pop()
            x = stack(torch.cat([x, same], dim=1) if self.skips else x, embedding)
        return shuffle(self.conv_out(x), self.patch).float()
