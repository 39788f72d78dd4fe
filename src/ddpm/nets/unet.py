"""The U-Net of DDPM (Ho et al. 2020, appendix B) with the options of ADM (Dhariwal and Nichol 2021).

Its layers stand in the order of diffusers' `UNet2DModel`, so that weights can be renamed from one to the other;
only `patch` above 1 (space-to-depth input, Shi et al. 2016) lies outside that layout.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ddpm.nets.layers import Attention, Downsample, Embedding, ResidualBlock, Upsample, zeroed


class Level(nn.Module):
    """One resolution: residual blocks, each followed by attention (or by nothing: an identity)."""

    def __init__(self, blocks: Sequence[nn.Module], attentions: Sequence[nn.Module], resize: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attentions = nn.ModuleList(attentions)
        self.resize = resize


class Encoder(Level):
    """A level of the way down; keeps what every block and the resize put out."""

    def forward(self, x: Tensor, embedding: Tensor, kept: list[Tensor]) -> Tensor:
        """x (B, C, H, W); returns the input of the next level and appends to `kept`."""
        for block, attend in zip(self.blocks, self.attentions, strict=True):
            x = attend(block(x, embedding))
            kept.append(x)
        if not isinstance(self.resize, nn.Identity):
            x = self.resize(x)
            kept.append(x)
        return x


class Middle(Level):
    """The deepest level."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (B, C, H, W); returns the same shape."""
        for block, attend in zip(self.blocks, self.attentions, strict=True):
            x = attend(block(x, embedding))
        return x


class Decoder(Level):
    """A level of the way up; each block also sees what the encoder kept."""

    def forward(self, x: Tensor, embedding: Tensor, kept: list[Tensor]) -> Tensor:
        """x (B, C, H, W); takes from the end of `kept`."""
        for block, attend in zip(self.blocks, self.attentions, strict=True):
            x = attend(block(torch.cat([x, kept.pop()], dim=1), embedding))
        resized: Tensor = self.resize(x)
        return resized


class UNet(nn.Module):
    """`F(x, t, labels)`: x (B, C, H, W), t (B,) float, labels (B,) int64 or None; returns (B, C, H, W) float32.

    resolution: H = W, divisible by `patch * 2^(levels - 1)`. attention: sides, after `patch`, that have attention;
    the middle
    always has it. classes: labels including the one for none, or 0.
    """

    def __init__(
        self,
        image_channels: int,
        resolution: int,
        classes: int,
        *,
        channels: int,
        multipliers: Sequence[int],
        blocks: int,
        attention: Sequence[int],
        head_channels: int,
        groups: int,
        scale_shift: bool,
        dropout: float,
        patch: int,
    ) -> None:
        super().__init__()
        dimension = 4 * channels
        widths = [channels * multiplier for multiplier in multipliers]
        sides = [resolution // patch // 2**level for level in range(len(widths))]
        self.patch = patch

        def block(inputs: int, outputs: int) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, dimension, groups, dropout, scale_shift=scale_shift)

        def attend(width: int, side: int) -> nn.Module:
            return Attention(width, head_channels, groups) if side in attention else nn.Identity()

        self.embedding = Embedding(channels, dimension, classes)
        self.conv_in = nn.Conv2d(image_channels * patch**2, channels, 3, padding=1)

        skips = [channels]  # widths of the tensors that the encoder keeps for the decoder
        encoder, width = [], channels
        for level, (outputs, side) in enumerate(zip(widths, sides, strict=True)):
            last = level == len(widths) - 1
            level_blocks = [block(width if i == 0 else outputs, outputs) for i in range(blocks)]
            level_attention = [attend(outputs, side) for _ in range(blocks)]
            encoder.append(Encoder(level_blocks, level_attention, nn.Identity() if last else Downsample(outputs)))
            skips += [outputs] * (blocks if last else blocks + 1)
            width = outputs
        self.encoder = nn.ModuleList(encoder)

        middle_attention = [Attention(width, head_channels, groups), nn.Identity()]
        self.middle = Middle([block(width, width), block(width, width)], middle_attention, nn.Identity())

        decoder = []
        for level, (outputs, side) in reversed(list(enumerate(zip(widths, sides, strict=True)))):
            level_blocks = [block((width if i == 0 else outputs) + skips.pop(), outputs) for i in range(blocks + 1)]
            level_attention = [attend(outputs, side) for _ in range(blocks + 1)]
            decoder.append(Decoder(level_blocks, level_attention, Upsample(outputs) if level else nn.Identity()))
            width = outputs
        self.decoder = nn.ModuleList(decoder)

        self.norm_out = nn.GroupNorm(groups, channels * multipliers[0])
        self.conv_out = zeroed(nn.Conv2d(channels * multipliers[0], image_channels * patch**2, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """See the class."""
        embedding = self.embedding(time, labels)
        x = self.conv_in(functional.pixel_unshuffle(x, self.patch))
        kept = [x]
        for level in self.encoder:
            x = level(x, embedding, kept)
        x = self.middle(x, embedding)
        for level in self.decoder:
            x = level(x, embedding, kept)
        x = self.conv_out(functional.silu(self.norm_out(x)))
        return functional.pixel_shuffle(x, self.patch).float()
