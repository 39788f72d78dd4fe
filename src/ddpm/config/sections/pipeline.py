"""Sections evaluate, promote and flow: what follows the model."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ddpm.config.sections.base import Count, Fraction, Section
from ddpm.config.sections.texts import branch, cron


class Evaluate(Section):
    """Scores and pictures."""

    splits: Count
    blocks: Count
    neighbours: int = Field(ge=1, le=1000)
    grid: int = Field(ge=1, le=64)


RELATIVE_LIMITS: Mapping[str, float] = {
    "max_fid_ratio": 20.0,
    "min_recall_ratio": 0.1,
    "min_class_skill": 0.5,
    "min_memorisation_ratio": 0.5,
}
"""The limits of promotion that need no number from the user; docs/evaluation.md has the reason for each."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class Promote(Section):
    """The gate between a registered model and the champion. A limit that is null does not apply."""

    name: Name
    max_fid: float | None = Field(gt=0, le=1e9)
    min_inception_score: float | None = Field(ge=1, le=1e6)
    min_class_share: float | None = Field(ge=0, le=1)
    max_fid_ratio: float | None = Field(gt=0, le=1e6)
    min_recall_ratio: Fraction | None
    min_class_skill: Fraction | None
    min_memorisation_ratio: Fraction | None
    min_improvement: float = Field(ge=0, le=1)
    confidence: float = Field(ge=0.5, lt=1)
    kid_tolerance: float = Field(ge=0, le=1e6)
    recall_tolerance: Fraction
    memorisation_tolerance: Fraction
    approval: Literal["none", "person"]
    approval_hours: float = Field(gt=0, le=24 * 365)

    @property
    def limited(self) -> bool:
        """Whether a first champion has to meet any limit."""
        keys = ("max_fid", "min_inception_score", "min_class_share", *RELATIVE_LIMITS)
        return any(getattr(self, key) is not None for key in keys)


class Flow(Section):
    """The workflow around the stages."""

    time_limit: int = Field(ge=1, le=366 * 24 * 3600)
    retries: int = Field(ge=0, le=10)
    cron: Annotated[str, AfterValidator(cron)]
    branch: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_./-]{0,99})?$"), AfterValidator(branch)]
