"""Sections prepare and features: the images and what looks at them."""

from typing import Literal

from pydantic import Field

from ddpm.sections.base import Count, Fraction, Section, Seed


class Prepare(Section):
    """From a folder of image files to one array."""

    resolution: int = Field(ge=4, le=1024)
    channels: Literal[1, 3]
    labels: Literal["folders", "none"]
    background: int = Field(ge=0, le=255)
    holdout: float = Field(gt=0, lt=0.9)
    max_pixels: Count
    max_bad_fraction: Fraction
    near_duplicate: float = Field(ge=0, le=64)
    max_drift: Fraction | None


class Features(Section):
    """What evaluation looks at images with."""

    extractor: Literal["classifier", "inception", "own"]
    weights: str
    resize: Literal["clean", "legacy"]
    images: Count
    batch: Count
    width: int = Field(ge=4, le=1024, multiple_of=4)
    lr: float = Field(gt=0, le=1)
    seed: Seed
