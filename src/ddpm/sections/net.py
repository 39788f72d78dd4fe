"""Section net: the network."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ddpm.sections.base import Count, Section


class Net(Section):
    """The U-Net."""

    channels: int = Field(ge=8, le=1024)
    multipliers: tuple[Count, ...] = Field(min_length=1, max_length=8)
    blocks: int = Field(ge=1, le=16)
    attention: tuple[Count, ...]
    head_channels: int = Field(ge=1, le=512)
    groups: Count
    scale_shift: bool
    dropout: float = Field(ge=0, lt=1)
    patch: Literal[1, 2, 4]

    @property
    def downsampling(self) -> int:
        """By how much the side of an image shrinks from input to the deepest level."""
        return int(self.patch * 2 ** (len(self.multipliers) - 1))

    @model_validator(mode="after")
    def widths_divide(self) -> Self:
        """GroupNorm needs whole groups."""
        for multiplier in self.multipliers:
            width = self.channels * multiplier
            if width % self.groups:
                raise ValueError(
                    f"groups = {self.groups} must divide every level's width; channels * {multiplier} = {width}"
                )
        return self
