"""Section features: the extractor of the features that examples are compared by."""

from typing import Any, Literal

from pydantic import Field, field_validator

from ddpm.config.sections.base import Batch, Count, Place, Section, Seed

Extractor = Literal["auto", "classifier", "efficientnet-lite0", "inception", "dinov2", "kernels"]


class Features(Section):
    """The extractor of evaluation."""

    extractor: Extractor = Field(
        "auto",
        description="auto (series: kernels; images: classifier if labelled, else efficientnet-lite0), classifier, "
        "efficientnet-lite0, inception, dinov2, kernels",
    )
    weights: Place = Field("", description="inception, dinov2: the weights file")
    resize: Literal["clean", "legacy"] = Field(
        "clean",
        description="for published weights: clean (antialiased bicubic) or legacy (TensorFlow 1's bilinear)",
    )
    images: Count = Field(60_000, description="classifier: training images seen")
    batch: Batch = Field(64, description="classifier: images per optimiser step")
    width: int = Field(
        32, ge=4, le=1024, multiple_of=4,
        description="classifier: channels of the first layer; features have four times as many",
    )  # fmt: skip
    lr: float = Field(0.002, gt=0, le=1, description="classifier: peak learning rate")
    seed: Seed = Field(0, description="classifier: initialisation, data order, augmentation; kernels; floors: noise")

    def choice(self, *, labelled: bool, kind: str = "images") -> Extractor:
        """Return the extractor, with `auto` resolved.

        labelled: the images have labels of two or more classes. kind: prepare.kind.
        """
        if self.extractor != "auto":
            return self.extractor
        if kind == "series":
            return "kernels"
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
