"""Sections evaluate, promote and flow."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ddpm.config.sections import texts
from ddpm.config.sections.base import Count, Fraction, Section


class Evaluate(Section):
    """Scores and pictures."""

    splits: Count = Field(10, description="parts that the Inception Score is averaged over")
    blocks: Count = Field(
        8,
        description="equal blocks of at least 50 seeds: deviation of each score, and pairs of the gate (at least 6)",
    )
    neighbours: int = Field(8, ge=1, le=1000, description="samples shown beside their nearest training images")
    grid: int = Field(10, ge=1, le=64, description="rows and columns of the sample grid")


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class Promote(Section):
    """The gate between a registered model and the champion. A limit that is null does not apply."""

    name: Name = Field("ddpm-mnist", description="name of the registered model")
    max_fid: float | None = Field(10.0, gt=0, le=1e9, description="largest FID; null: no limit")
    min_inception_score: float | None = Field(6.0, ge=1, le=1e6, description="smallest Inception Score; null: no limit")
    min_class_share: Fraction | None = Field(
        0.02, description="smallest share of samples that the rarest class may have; null: no limit"
    )
    max_fid_ratio: float | None = Field(
        20.0, gt=0, le=1e6, description="FID over that of as many real images; null: no limit"
    )
    min_recall_ratio: Fraction | None = Field(0.1, description="recall over that of real images; null: no limit")
    min_class_skill: Fraction | None = Field(
        0.5, description="class accuracy, from chance to that of real images, if labelled; null: no limit"
    )
    min_memorisation_ratio: Fraction | None = Field(
        0.5,
        description="distance to the nearest training image over that of unseen images; null: no limit",
    )
    min_improvement: Fraction = Field(
        0.15, description="relative FID gain that a candidate needs, above what another training seed changes"
    )
    confidence: float = Field(
        0.95, ge=0.5, lt=1,
        description="of the interval of the difference, seed block by seed block, that separates better from worse",
    )  # fmt: skip
    kid_tolerance: float = Field(
        0.1, ge=0, le=1e6,
        description="share of the champion's KID that the candidate's may be higher (at least what chance explains)",
    )  # fmt: skip
    recall_tolerance: Fraction = Field(
        0.05, description="how much lower than the champion's the candidate's recall may be"
    )
    memorisation_tolerance: Fraction = Field(
        0.05,
        description="how far its memorisation ratio may be below the champion's, or below 1 where that is less",
    )
    approval: Literal["none", "person"] = Field(
        "none", description="none: the verdict moves the champion; person: a person approves or rejects it first"
    )
    approval_hours: float = Field(
        24.0, gt=0, le=24 * 365,
        description="hours to wait for an answer; without one, the champion stays",
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
    retries: int = Field(
        2, ge=0, le=10, description="further attempts after a transient failure, such as a busy DVC lock"
    )
    cron: Annotated[str, AfterValidator(texts.cron)] = Field(
        "0 3 * * *", description="when `flows/retrain.py` runs: minute, hour, day, month and weekday"
    )
    branch: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_./-]{0,99})?$"), AfterValidator(texts.branch)] = (
        Field("retrain", description='git branch that retraining commits data.dvc and dvc.lock to; "": none')
    )
