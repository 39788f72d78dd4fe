"""Section net: the network, with the keys of its kind."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ddpm.config.sections.base import Count, Section

Patch = Literal[1, 2, 4]
Width = Annotated[int, Field(ge=8, le=8192)]


class UNet(Section):
    """The U-Net of DDPM and ADM."""

    kind: Literal["unet"]
    channels: int = Field(ge=8, le=1024)
    multipliers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(min_length=1, max_length=8)
    blocks: int = Field(ge=1, le=16)
    attention: tuple[Count, ...] = Field(max_length=8)
    middle_attention: bool
    head_channels: int = Field(ge=1, le=1024)
    groups: Count
    scale_shift: bool
    resample: Literal["conv", "residual"]
    dropout: float = Field(ge=0, lt=1)
    patch: Patch
    layout: Literal["adm", "ddpm"]

    @property
    def weights(self) -> float:
        """Number of weights, roughly."""
        widths = [self.channels * multiplier for multiplier in self.multipliers]
        return sum(18.0 * (2 * self.blocks + 1) * width**2 for width in widths)

    def values(self, side: int) -> float:
        """Numbers of the first layer, for an image of a side."""
        return (side / self.patch) ** 2 * self.channels

    @property
    def downsampling(self) -> int:
        """By how much the side of an image shrinks from input to the deepest level."""
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

    def check_side(self, side: int) -> None:
        """Refuse images of a side that this network cannot take. Raises ValueError."""
        levels = f"net.patch = {self.patch} and {len(self.multipliers)} levels in net.multipliers"
        _check_halving(side, self.downsampling, levels)
        sides = [side // self.patch // 2**level for level in range(len(self.multipliers))]
        for attended in self.attention:
            if attended not in sides:
                raise ValueError(f"net.attention = {attended} is no resolution of this U-Net; it has {sides}")
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

    kind: Literal["dit"]
    patch: Annotated[int, Field(ge=1, le=64)]
    width: Width
    depth: int = Field(ge=1, le=128)
    heads: Count
    mlp_ratio: int = Field(ge=1, le=16)
    dropout: float = Field(ge=0, lt=1)

    @property
    def weights(self) -> float:
        """Number of weights, roughly."""
        return self.depth * (10.0 + 2 * self.mlp_ratio) * self.width**2

    def values(self, side: int) -> float:
        """Numbers of the first layer, for an image of a side."""
        return (side / self.patch) ** 2 * self.width

    @model_validator(mode="after")
    def widths_divide(self) -> Self:
        """Heads are equal, and positions are sines and cosines of two axes."""
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} must divide width = {self.width}")
        if self.width % 4:
            raise ValueError(f"width = {self.width} must be divisible by 4: sines and cosines of columns and of rows")
        return self

    def check_side(self, side: int) -> None:
        """Refuse images of a side that this network cannot take. Raises ValueError."""
        if side % self.patch:
            raise ValueError(f"net.patch = {self.patch} must divide prepare.resolution = {side}")


class Plain(Section):
    """The plain encoder and decoder."""

    kind: Literal["plain"]
    channels: int = Field(ge=8, le=1024)
    levels: int = Field(ge=1, le=8)
    blocks: int = Field(ge=1, le=16)
    skips: bool
    groups: Count
    patch: Patch

    @property
    def weights(self) -> float:
        """Number of weights, roughly."""
        return sum(18.0 * self.blocks * (self.channels << level) ** 2 for level in range(self.levels))

    def values(self, side: int) -> float:
        """Numbers of the first layer, for an image of a side."""
        return (side / self.patch) ** 2 * self.channels

    @model_validator(mode="after")
    def widths_divide(self) -> Self:
        """GroupNorm needs whole groups."""
        if self.channels % self.groups:
            raise ValueError(f"groups = {self.groups} must divide channels = {self.channels}")
        return self

    def check_side(self, side: int) -> None:
        """Refuse images of a side that this network cannot take. Raises ValueError."""
        _check_halving(
            side, self.patch * 2 ** (self.levels - 1), f"net.patch = {self.patch}, net.levels = {self.levels}"
        )


Net = Annotated[UNet | DiT | Plain, Field(discriminator="kind")]


def _check_halving(side: int, shrinks: int, why: str) -> None:
    if side % shrinks:
        halvings = shrinks.bit_length() - 1
        raise ValueError(f"prepare.resolution = {side} must be divisible by {shrinks}: {why} halve it {halvings} times")
