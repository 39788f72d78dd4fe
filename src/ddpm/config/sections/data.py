"""Sections prepare and features: the images and what looks at them."""

from typing import Literal

from pydantic import Field

from ddpm.config.sections.base import Batch, Count, Fraction, Place, Section, Seed


class Prepare(Section):
    """From a folder of image files to one array."""

    resolution: int = Field(ge=4, le=1024)
    channels: Literal[1, 3]
    labels: Literal["folders", "none"]
    background: int = Field(ge=0, le=255)
    holdout: float = Field(gt=0, lt=0.9)
    max_pixels: int = Field(ge=1, le=10**10)
    max_bad_fraction: Fraction
    near_duplicate: float = Field(ge=0, le=64)
    max_drift: Fraction | None


class Features(Section):
    """What evaluation looks at images with."""

    extractor: Literal["classifier", "inception", "own"]
    weights: Place
    resize: Literal["clean", "legacy"]
    images: Count
    batch: Batch
    width: int = Field(ge=4, le=1024, multiple_of=4)
    lr: float = Field(gt=0, le=1)
    seed: Seed
