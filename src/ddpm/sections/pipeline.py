"""Sections evaluate, promote and flow: what follows the model."""

from typing import Literal

from pydantic import Field

from ddpm.sections.base import Count, Fraction, Section


class Evaluate(Section):
    """Scores and pictures."""

    splits: Count
    blocks: Count
    neighbours: Count
    grid: int = Field(ge=1, le=64)


class Promote(Section):
    """The gate between a registered model and the champion. A limit that is null does not apply."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    max_fid: float | None = Field(gt=0)
    min_inception_score: float | None = Field(ge=1)
    min_class_share: float | None = Field(ge=0, le=1)
    min_improvement: float = Field(ge=0)
    confidence: float = Field(ge=0.5, lt=1)
    kid_tolerance: float = Field(ge=0)
    recall_tolerance: Fraction
    memorisation_tolerance: Fraction
    approval: Literal["none", "person"]
    approval_hours: float = Field(gt=0, le=24 * 365)


class Flow(Section):
    """The workflow around the stages."""

    time_limit: int = Field(ge=1)
    retries: int = Field(ge=0, le=10)
    cron: str
    branch: str = Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_./-]{0,99})?$")
