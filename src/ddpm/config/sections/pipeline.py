"""Sections evaluate, promote and flow."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ddpm.config.sections import texts
from ddpm.config.sections.base import Count, Fraction, Section


class Evaluate(Section):
    """Scores and pictures."""

    splits: Count = Field(10, description="splits of the Inception Score")
    blocks: Count = Field(
        8,
        description="seed blocks of at least 50 images, for standard deviations and the paired test of the gate (6)",
    )
    neighbours: int = Field(8, ge=1, le=1000, description="samples shown with their nearest training images")
    grid: int = Field(10, ge=1, le=64, description="rows and columns of the sample grid")


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class Promote(Section):
    """The gate between a registered model and the champion. A limit that is null does not apply."""

    name: Name = Field("ddpm-mnist", description="name of the registered model")
    max_fid: float | None = Field(10.0, gt=0, le=1e9, description="largest FID; null: no limit")
    min_inception_score: float | None = Field(6.0, ge=1, le=1e6, description="smallest Inception Score; null: no limit")
    min_class_share: Fraction | None = Field(
        0.02, description="smallest share of the rarest class among the samples; null: no limit"
    )
    max_fid_ratio: float | None = Field(
        20.0, gt=0, le=1e6, description="largest FID relative to that of as many real images; null: no limit"
    )
    min_recall_ratio: Fraction | None = Field(
        0.1, description="smallest recall relative to real images; null: no limit"
    )
    min_class_skill: Fraction | None = Field(
        0.5, description="labelled: smallest class accuracy, on a scale from chance to real images; null: no limit"
    )
    min_memorisation_ratio: Fraction | None = Field(
        0.5,
        description="smallest nearest-training-image distance relative to held-out images; null: no limit",
    )
    min_improvement: Fraction = Field(
        0.15, description="required relative FID improvement, above the variation between training seeds"
    )
    confidence: float = Field(
        0.95, ge=0.5, lt=1,
        description="confidence level of the paired FID difference that decides between better and worse",
    )  # fmt: skip
    kid_tolerance: float = Field(
        0.1, ge=0, le=1e6,
        description="permitted relative increase of KID over the champion's (at least the sampling noise)",
    )  # fmt: skip
    recall_tolerance: Fraction = Field(0.05, description="permitted decrease of recall from the champion's")
    memorisation_tolerance: Fraction = Field(
        0.05,
        description="permitted decrease of the memorisation ratio from the champion's, or from 1 if that is lower",
    )
    approval: Literal["none", "person"] = Field(
        "none", description="none: the verdict decides; person: a person must approve a promotion"
    )
    approval_hours: float = Field(
        24.0, gt=0, le=24 * 365,
        description="hours until an unanswered approval expires; the champion then stays",
    )  # fmt: skip

    @property
    def limited(self) -> bool:
        """True if any limit applies to a first champion."""
        keys = ("max_fid", "min_inception_score", "min_class_share", *RELATIVE_LIMITS)
        return any(getattr(self, key) is not None for key in keys)


RELATIVE_LIMITS: Mapping[str, float] = {
    name: Promote.model_fields[name].default
    for name in ("max_fid_ratio", "min_recall_ratio", "min_class_skill", "min_memorisation_ratio")
}
"""The limits of promotion whose defaults suit all images; docs/evaluation.md has the reason for each."""


class Flow(Section):
    """The workflow around the stages."""

    time_limit: int = Field(7200, ge=1, le=366 * 24 * 3600, description="seconds after which a stage is stopped")
    max_drift: Fraction | None = Field(
        0.15, description="difference from the champion's data that stops a scheduled run; null: no limit"
    )
    retries: int = Field(
        2, ge=0, le=10, description="further attempts after a transient failure, such as a busy DVC lock"
    )
    cron: Annotated[str, AfterValidator(texts.cron)] = Field(
        "0 3 * * *", description="cron schedule of retraining: minute, hour, day, month, weekday"
    )
    branch: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_./-]{0,99})?$"), AfterValidator(texts.branch)] = (
        Field("retrain", description='git branch to which retraining commits data.dvc and dvc.lock; "": none')
    )
    rejected_days: float | None = Field(
        None, ge=0, le=36_500,
        description="days until retraining deletes a rejected candidate and its MLflow run; null: never",
    )  # fmt: skip
