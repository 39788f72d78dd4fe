"""Section net: the network, with the keys of its kind."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ddpm.config.sections.base import Count, Section

Patch = Literal[1, 2, 4]
Width = Annotated[int, Field(ge=8, le=8192)]
KINDS = "unet, dit (transformer) or plain (convolutions only); each has its own keys"
PATCH = "space-to-depth factor at the input; 1: none (published layout)"


class UNet(Section):
    """The U-Net of DDPM and ADM."""

    kind: Literal["unet"] = Field("unet", description=KINDS)
    channels: int = Field(32, ge=8, le=1024, description="width of the first level")
    multipliers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1, 2), min_length=1, max_length=8,
        description="width of each level, in multiples of channels; each level halves the resolution",
    )  # fmt: skip
    blocks: int = Field(1, ge=1, le=16, description="residual blocks per level")
    attention: tuple[Count, ...] = Field((), max_length=8, description="sides with self-attention")
    middle_attention: bool = Field(False, description="self-attention in the middle block")
    head_channels: int = Field(32, ge=1, le=1024, description="channels per attention head")
    groups: Count = Field(8, description="groups of GroupNorm")
    scale_shift: bool = Field(
        True, description="condition on time and class by scale and shift (ADM) instead of addition"
    )
    resample: Literal["conv", "residual"] = Field(
        "residual", description="down- and upsampling: conv (convolutions) or residual (blocks of ADM)"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="in every residual block")
    patch: Patch = Field(2, description=PATCH)
    layout: Literal["adm", "ddpm"] = Field(
        "adm", description="conventions for padding, GroupNorm and time embedding: adm, or ddpm (Ho et al. 2020)"
    )

    @property
    def weights(self) -> float:
        """Number of weights, roughly."""
        widths = [self.channels * multiplier for multiplier in self.multipliers]
        return sum(18.0 * (2 * self.blocks + 1) * width**2 for width in widths)

    def values(self, sides: Sequence[int]) -> float:
        """Numbers of the first layer, for an example with these sides."""
        return math.prod(side / self.patch for side in sides) * self.channels

    @property
    def downsampling(self) -> int:
        """Ratio of the side of an image to that of the deepest level."""
        return int(self.patch * 2 ** (len(self.multipliers) - 1))

    @model_validator(mode="after")
    def widths_divide(self) -> Self:
        """GroupNorm needs whole groups."""
        for multiplier in (1, *self.multipliers):
            width = self.channels * multiplier
            if width % self.groups:
                raise ValueError(
                    f"groups = {self.groups} must divide every level's width; channels * {multiplier} = {width}"
                )
        return self

    def check_side(self, side: int, key: str) -> None:
        """Refuse examples of a side, set by `key`, that this network cannot take. Raises ValueError."""
        levels = f"net.patch = {self.patch} and {len(self.multipliers)} levels in net.multipliers"
        _check_halving(side, key, self.downsampling, levels)
        sides = [side // self.patch // 2**level for level in range(len(self.multipliers))]
        for attended in self.attention:
            if attended not in sides:
                raise ValueError(f"net.attention = {attended} is not a resolution of this U-Net, which has {sides}")
        for each, multiplier in zip(sides, self.multipliers, strict=True):
            width = self.channels * multiplier
            mixes = each in self.attention or (each == sides[-1] and self.middle_attention)
            if mixes and width % self.head_channels:
                raise ValueError(
                    f"net.head_channels = {self.head_channels} must divide the width {width} (channels * {multiplier}) "
                    f"of the level with side {each}, which has attention; the deepest level has it if middle_attention"
                )


class DiT(Section):
    """The diffusion transformer."""

    kind: Literal["dit"] = Field("dit", description=KINDS)
    patch: int = Field(4, ge=1, le=64, description="patch size in pixels")
    width: Width = Field(128, description="embedding dimension")
    depth: int = Field(6, ge=1, le=128, description="transformer blocks")
    heads: Count = Field(4, description="attention heads")
    mlp_ratio: int = Field(4, ge=1, le=16, description="hidden width of a block's MLP, in multiples of width")
    dropout: float = Field(0.0, ge=0, lt=1, description="in every block")

    @property
    def weights(self) -> float:
        """Number of weights, roughly."""
        return self.depth * (10.0 + 2 * self.mlp_ratio) * self.width**2

    def values(self, sides: Sequence[int]) -> float:
        """Numbers of the first layer, for an example with these sides."""
        return math.prod(side / self.patch for side in sides) * self.width

    @model_validator(mode="after")
    def widths_divide(self) -> Self:
        """Heads are equal, and positions are sines and cosines of two axes."""
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} must divide width = {self.width}")
        if self.width % 4:
            raise ValueError(f"width = {self.width} must be divisible by 4: sines and cosines of columns and of rows")
        return self

    def check_side(self, side: int, key: str) -> None:
        """Refuse examples of a side, set by `key`, that this network cannot take. Raises ValueError."""
        if side % self.patch:
            raise ValueError(f"net.patch = {self.patch} must divide {key} = {side}")


class Plain(Section):
    """The plain encoder and decoder."""

    kind: Literal["plain"] = Field("plain", description=KINDS)
    channels: int = Field(56, ge=8, le=1024, description="width of the first level")
    levels: int = Field(2, ge=1, le=8, description="levels; each halves the resolution and doubles the channels")
    blocks: int = Field(2, ge=1, le=16, description="convolutions per level")
    skips: bool = Field(True, description="skip connections from encoder to decoder")
    groups: Count = Field(8, description="groups of GroupNorm")
    patch: Patch = Field(2, description=PATCH)

    @property
    def weights(self) -> float:
        """Number of weights, roughly."""
        return sum(18.0 * self.blocks * (self.channels << level) ** 2 for level in range(self.levels))

    def values(self, sides: Sequence[int]) -> float:
        """Numbers of the first layer, for an example with these sides."""
        return math.prod(side / self.patch for side in sides) * self.channels

    @model_validator(mode="after")
    def widths_divide(self) -> Self:
        """GroupNorm needs whole groups."""
        if self.channels % self.groups:
            raise ValueError(f"groups = {self.groups} must divide channels = {self.channels}")
        return self

    def check_side(self, side: int, key: str) -> None:
        """Refuse examples of a side, set by `key`, that this network cannot take. Raises ValueError."""
        _check_halving(
            side, key, self.patch * 2 ** (self.levels - 1), f"net.patch = {self.patch}, net.levels = {self.levels}"
        )


Net = Annotated[UNet | DiT | Plain, Field(discriminator="kind")]


def _check_halving(side: int, key: str, shrinks: int, why: str) -> None:
    if side % shrinks:
        halvings = shrinks.bit_length() - 1
        raise ValueError(f"{key} = {side} must be divisible by {shrinks}: {why} halve it {halvings} times")
