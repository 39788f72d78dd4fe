"""Sections prepare and features: the images and what looks at them."""

from typing import Any, Literal

from pydantic import Field, field_validator

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

    extractor: Literal["classifier", "inception"]
    weights: Place
    resize: Literal["clean", "legacy"]
    images: Count
    batch: Batch
    width: int = Field(ge=4, le=1024, multiple_of=4)
    lr: float = Field(gt=0, le=1)
    seed: Seed

    @field_validator("extractor", mode="before")
    @classmethod
    def without_declared_layers(cls, value: Any) -> Any:
        """Older files may name an extractor whose layers are declared in JSON."""
        if value == "own":
            raise ValueError(
                "own (layers declared in JSON) is not supported; use classifier, which is trained on the labels, or "
                "inception with the weights that `ddpm weights inception` fetches"
            )
        return value
