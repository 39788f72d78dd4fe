"""Sections prepare and features: the images, and the extractor of the features they are compared by."""

from typing import Any, Literal

from pydantic import Field, field_validator

from ddpm.config.sections.base import Batch, Count, Fraction, Place, Section, Seed


class Prepare(Section):
    """Conversion of a folder of image files to one array."""

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
    max_drift: Fraction | None = Field(
        0.15, description="difference from the champion's data that stops a scheduled run; null: no limit"
    )


Extractor = Literal["auto", "classifier", "efficientnet-lite0", "inception", "dinov2"]


class Features(Section):
    """The extractor of evaluation."""

    extractor: Extractor = Field(
        "auto",
        description="auto (classifier if labelled, else efficientnet-lite0), classifier, efficientnet-lite0, "
        "inception, dinov2",
    )
    weights: Place = Field("", description="inception, dinov2: the weights file")
    resize: Literal["clean", "legacy"] = Field(
        "clean", description="except classifier: clean (antialiased bicubic) or legacy (TensorFlow 1's bilinear)"
    )
    images: Count = Field(60_000, description="classifier: training images seen")
    batch: Batch = Field(64, description="classifier: images per optimiser step")
    width: int = Field(
        32, ge=4, le=1024, multiple_of=4,
        description="classifier: channels of the first layer; features have four times as many",
    )  # fmt: skip
    lr: float = Field(0.002, gt=0, le=1, description="classifier: peak learning rate")
    seed: Seed = Field(0, description="classifier: initialisation, data order, augmentation; floors: noise images")

    def choice(self, *, labelled: bool) -> Extractor:
        """Return the extractor, with `auto` resolved; labelled: the images have labels of two or more classes."""
        if self.extractor != "auto":
            return self.extractor
        return "classifier" if labelled else "efficientnet-lite0"

    @field_validator("extractor", mode="before")
    @classmethod
    def without_declared_layers(cls, value: Any) -> Any:
        """Refuse an extractor with layers declared in JSON, which older files may have. Raises ValueError."""
        if value == "own":
            raise ValueError(
                "own (layers declared in JSON) is not supported; use auto: a classifier trained on the labels, or "
                "efficientnet-lite0 without labels"
            )
        return value
