"""The U-Net of DDPM (Ho et al. 2020, appendix B) with the options of ADM (Dhariwal and Nichol 2021).

Its layers stand in the order of diffusers' `UNet2DModel`, so that weights can be renamed from one to the other;
only `patch` above 1 (space-to-depth input, Shi et al. 2016) lies outside that layout.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ddpm.nets.dimensions import CONVOLUTIONS, HALVINGS, shuffle, unshuffle
from ddpm.nets.group_norm import norm_silu
from ddpm.nets.layers import Attention, Downsample, Embedding, ResidualBlock, Upsample, like_layout, zeroed


class Layout(NamedTuple):
    """Details in which published networks differ; see `layers` for the first two. epsilon: of GroupNorm."""

    reaches_last: bool
    centred: bool
    epsilon: float


LAYOUTS = {
    "adm": Layout(reaches_last=False, centred=True, epsilon=1e-5),  # Dhariwal and Nichol 2021
    "ddpm": Layout(reaches_last=True, centred=False, epsilon=1e-6),  # Ho et al. 2020
}


class Level(nn.Module):
    """One resolution: residual blocks, each followed by attention (or by nothing: an identity)."""

    def __init__(self, blocks: Sequence[nn.Module], attentions: Sequence[nn.Module], resize: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attentions = nn.ModuleList(attentions)
        self.resize = resize


class Encoder(Level):
    """A level of the way down; keeps what every block and the resize put out."""

    def forward(self, x: Tensor, embedding: Tensor, kept: list[Tensor]) -> Tensor:
        """x (B, C, ...); returns the input of the next level and appends to `kept`."""
        for block, attend in zip(self.blocks, self.attentions, strict=True):
            x = attend(block(x, embedding))
            kept.append(x)
        if self.resize is not None:
            x = self.resize(x, embedding)
            kept.append(x)
        return x


class Middle(Level):
    """The deepest level."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (B, C, ...); returns the same shape."""
        for block, attend in zip(self.blocks, self.attentions, strict=True):
            x = attend(block(x, embedding))
        return x


class Decoder(Level):
    """A level of the way up; each block also sees what the encoder kept."""

    def forward(self, x: Tensor, embedding: Tensor, kept: list[Tensor]) -> Tensor:
        """x (B, C, ...); takes from the end of `kept`."""
        for block, attend in zip(self.blocks, self.attentions, strict=True):
            x = attend(block(torch.cat([x, kept.pop()], dim=1), embedding))
        if self.resize is not None:
            x = self.resize(x, embedding)
        return x


class UNet(nn.Module):
    """`F(x, t, labels)`: x (B, inputs, ...), t (B,) float, labels (B,) int64 or None; (B, outputs, ...) float32.

    dimensions: 2 for images (H, W), 1 for series (L). resolution: the length of each side, divisible by
    `patch * 2^(levels - 1)`. classes: labels including the one for none, or 0.
    attention: sides, after `patch`, that have attention; the middle has it by itself. resample: `conv` (a strided
    convolution; nearest neighbours and a convolution) or `residual` (a residual block that averages or repeats pixels).
    layout: a row of LAYOUTS.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        resolution: int,
        classes: int,
        *,
        channels: int,
        multipliers: Sequence[int],
        blocks: int,
        attention: Sequence[int],
        middle_attention: bool = True,
        head_channels: int,
        groups: int,
        scale_shift: bool,
        resample: str,
        dropout: float,
        patch: int,
        layout: str = "adm",
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        details = LAYOUTS[layout]
        convolution, folded = CONVOLUTIONS[dimensions], patch**dimensions
        widths = [channels * multiplier for multiplier in multipliers]
        sides = [resolution // patch // 2**level for level in range(len(widths))]
        self.patch = patch
        embedding = 4 * channels
        block = partial(
            ResidualBlock, embedding=embedding, groups=groups, epsilon=details.epsilon, dropout=dropout,
            scale_shift=scale_shift, dimensions=dimensions,
        )  # fmt: skip
        mix = partial(Attention, head_channels=head_channels, groups=groups, epsilon=details.epsilon)
        down: dict[str, Callable[[int], nn.Module]] = {
            "conv": partial(Downsample, centred=details.centred, dimensions=dimensions),
            "residual": lambda width: block(width, width, resize=HALVINGS[dimensions](2)),
        }
        up: dict[str, Callable[[int], nn.Module]] = {
            "conv": partial(Upsample, dimensions=dimensions),
            "residual": lambda width: block(width, width, resize=nn.Upsample(scale_factor=2.0)),
        }

        def attend(width: int, side: int) -> nn.Module:
            return mix(width) if side in attention else nn.Identity()

        self.embedding = Embedding(channels, embedding, classes, reaches_last=details.reaches_last)
        self.conv_in = convolution(inputs * folded, channels, 3, padding=1)

        skips = [channels]  # widths of the tensors that the encoder keeps for the decoder
        encoder, width = [], channels
        for level, (wide, side) in enumerate(zip(widths, sides, strict=True)):
            last = level == len(widths) - 1
            level_blocks = [block(width if i == 0 else wide, wide) for i in range(blocks)]
            level_attention = [attend(wide, side) for _ in range(blocks)]
            encoder.append(Encoder(level_blocks, level_attention, None if last else down[resample](wide)))
            skips += [wide] * (blocks if last else blocks + 1)
            width = wide
        self.encoder = nn.ModuleList(encoder)

        middle = mix(width) if middle_attention else nn.Identity()
        self.middle = Middle([block(width, width), block(width, width)], [middle, nn.Identity()], None)

        decoder = []
        for level, (wide, side) in reversed(list(enumerate(zip(widths, sides, strict=True)))):
            level_blocks = [block((width if i == 0 else wide) + skips.pop(), wide) for i in range(blocks + 1)]
            level_attention = [attend(wide, side) for _ in range(blocks + 1)]
            decoder.append(Decoder(level_blocks, level_attention, up[resample](wide) if level else None))
            width = wide
        self.decoder = nn.ModuleList(decoder)

        self.norm_out = nn.GroupNorm(groups, width, details.epsilon)
        self.conv_out = zeroed(convolution(width, outputs * folded, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """See the class."""
        embedding = self.embedding(time, labels)
        x = like_layout(self.conv_in(unshuffle(x, self.patch)), self.conv_out.weight)
        kept = [x]
        for level in self.encoder:
            x = level(x, embedding, kept)
        x = self.middle(x, embedding)
        for level in self.decoder:
            x = level(x, embedding, kept)
        x = self.conv_out(norm_silu(self.norm_out, x))
        return shuffle(x, self.patch).float()
