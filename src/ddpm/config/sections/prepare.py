"""Section prepare: conversion of the data to one array, with the keys of its kind."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ddpm.config.sections.base import Fraction, Section

KINDS = "images, or series (one table of dates and numbers); each has its own keys"
MOST_COLUMNS = 64


class Images(Section):
    """Conversion of a folder of image files to one array."""

    kind: Literal["images"] = Field("images", description=KINDS)
    resolution: int = Field(
        28, ge=4, le=1024, description="side of the square images in pixels; other originals are resized"
    )
    channels: Literal[1, 3] = Field(1, description="1 grey, 3 colour")
    labels: Literal["folders", "none"] = Field(
        "folders", description="folders: sub-folders are classes; none: unlabelled"
    )
    background: int = Field(0, ge=0, le=255, description="grey value (black to white) behind transparent pixels")
    holdout: float = Field(
        0.2, gt=0, lt=0.9, description="share of images held out from training, chosen by content hash"
    )
    max_pixels: int = Field(
        50_000_000, ge=1, le=10**10, description="pixels above which an image is refused as a decompression bomb"
    )
    max_bad_fraction: Fraction = Field(
        0.01, description="share of unreadable images above which preparation fails; below, they are set aside"
    )
    near_duplicate: float = Field(
        2.0,
        ge=0,
        le=64,
        description="RMS difference in grey levels below which two images are near duplicates",
    )

    @property
    def labelled(self) -> bool:
        """True if the examples have classes."""
        return self.labels == "folders"

    @property
    def sides(self) -> tuple[int, ...]:
        """Positions of an example along each dimension."""
        return (self.resolution, self.resolution)

    @property
    def side_key(self) -> str:
        """The key that sets them, for messages."""
        return "prepare.resolution"


class Series(Section):
    """Conversion of one table of dates and columns to windows of its rows."""

    kind: Literal["series"] = Field("series", description=KINDS)
    window: int = Field(64, ge=8, le=4096, description="rows of a window")
    stride: int = Field(1, ge=1, le=4096, description="rows between the starts of two windows")
    columns: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        (), max_length=MOST_COLUMNS, description="columns to use; none named: all"
    )
    layout: Literal["joint", "separate"] = Field(
        "joint", description="joint: a window has all columns as channels; separate: one column, whichever"
    )
    transform: Literal["log-returns", "differences", "none"] = Field(
        "none", description="of the values: log-returns (prices), differences, or none"
    )
    missing: Literal["refuse", "drop", "previous"] = Field(
        "refuse", description="missing values: refuse, drop the row, or repeat the previous value"
    )
    duplicates: Literal["refuse", "first", "last"] = Field(
        "refuse", description="rows with equal dates: refuse, keep the first, or keep the last"
    )
    dates: Literal["iso", "day-first", "month-first"] = Field(
        "iso", description="order of dates in a CSV file: iso (2024-12-31), day-first, month-first"
    )
    decimal: Literal["point", "comma"] = Field("point", description="decimal separator of a CSV file")
    holdout: float = Field(
        0.2, gt=0, lt=0.9, description="share of the blocks of time held out from training, of four windows each"
    )

    @property
    def labelled(self) -> bool:
        """False: windows have no classes."""
        return False

    @property
    def sides(self) -> tuple[int, ...]:
        """Positions of an example along each dimension."""
        return (self.window,)

    @property
    def side_key(self) -> str:
        """The key that sets them, for messages."""
        return "prepare.window"

    @model_validator(mode="after")
    def columns_differ(self) -> Self:
        """A column is one channel."""
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns = {list(self.columns)} names a column twice")
        return self


Prepare = Annotated[Images | Series, Field(discriminator="kind")]
"""The section, as one of its kinds."""
