"""The typed record of an evaluation's scores, read from metrics.json of this or an older version. Imports no torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from ddpm.common.units import score_number
from ddpm.common.values import is_number
from ddpm.metrics.real_distances import expected_fid


@dataclass(frozen=True)
class ScoreRecord:
    """Scores of one set of images; None: not measured, or not a finite number.

    memorisation: evidence of copies. heldout_gap: relative gap of held-out to training loss. loss_warnings: signs of
    overfitting in these losses. floors: by score, the value for real images (`heldout`, `halves`, `copy`) and `noise`,
    taken from `floor_counts` images. chance: class accuracy of images whose classes are independent of those requested.
    blocks: number of seed blocks, 0 if not recorded. fid_blocks: FID of each block, in order. spread: by score, the
    standard deviation over these blocks. kid_subsets: KID of each pair of subsets. conditions: how the scores were
    measured. refused: reason why this set could not be scored, otherwise "". source: the content of metrics.json.
    """

    fid: float | None = None
    kid: float | None = None
    kid_se: float | None = None
    precision: float | None = None
    recall: float | None = None
    inception_score: float | None = None
    inception_score_real: float | None = None
    class_share_min: float | None = None
    class_accuracy: float | None = None
    extractor_accuracy: float | None = None
    memorisation_ratio: float | None = None
    fid_floor: float | None = None
    fid_halves: float | None = None
    heldout_gap: float | None = None
    loss_warnings: tuple[str, ...] = ()
    memorisation: Mapping[str, Any] = field(default_factory=dict)
    floors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    floor_counts: Mapping[str, Any] = field(default_factory=dict)
    chance: float = 0.0
    blocks: int = 0
    fid_blocks: tuple[float, ...] = ()
    spread: Mapping[str, float] = field(default_factory=dict)
    kid_subsets: tuple[float, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""
    source: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, metrics: Mapping[str, Any]) -> Self:
        """Read the content of metrics.json, or `{"refused": reason}`."""
        generalisation = metrics.get("generalisation", {})
        return cls(
            **{name: finite(metrics.get(name)) for name in SCORES} | {"heldout_gap": finite(generalisation.get("gap"))},
            loss_warnings=tuple(generalisation.get("warnings", ())),
            memorisation=metrics.get("memorisation", {}),
            floors=metrics.get("floors", {}),
            floor_counts=metrics.get("floor_counts", {}),
            chance=_chance(metrics),
            blocks=int(metrics.get("blocks", {}).get("count", metrics.get("conditions", {}).get("blocks", 0))),
            fid_blocks=tuple(metrics.get("blocks", {}).get("values", {}).get("fid", ())),
            spread={
                name: deviation
                for name, each in metrics.get("spread", {}).items()
                if (deviation := finite(each.get("std"))) is not None
            },
            kid_subsets=tuple(metrics.get("kid_subsets", ())),
            conditions=completed(metrics.get("conditions", {})),
            refused=str(metrics.get("refused", "")),
            source=metrics,
        )

    def value(self, key: str) -> float | None:
        """Return a score by name, or any number of metrics.json; None if missing or not finite."""
        if key in DERIVED:
            return finite(getattr(self, key))
        return finite(self.source.get(key))

    def real(self, key: str) -> float | None:
        """Return the score of real images under these conditions, the one value shown for it; None if not measured.

        FID: of equally many new images, which is extrapolated. Other scores: of held-out images.
        """
        if key in ("fid_ratio", "memorisation_ratio"):
            return None if self.value(key) is None else 1.0  # by definition
        names = {"fid": ("fid_equal_counts", "fid_floor"), "inception_score": ("inception_score_real",),
                 "class_accuracy": ("extractor_accuracy",)}.get(key, ())  # fmt: skip
        floors = (self.floor(key, images) for images in ("equal_counts", "heldout"))
        return next((found for found in (*floors, *map(self.value, names)) if found is not None), None)

    def has(self, score: str) -> bool:
        """Return True if the evaluation has a score, finite or not."""
        return self.source.get(score) is not None

    def floor(self, score: str, images: str) -> float | None:
        """Return the value of a score for a set of real images, or for noise."""
        return finite(self.floors.get(score, {}).get(images))

    @property
    def fid_ratio(self) -> float | None:
        """FID over that expected of equally many new real images; None if the evaluation has no such floor."""
        floor = expected_fid(self.floors.get("fid", {}), self.floor_counts, self.conditions)
        return None if self.fid is None or not floor else self.fid / floor


DERIVED = ("fid_ratio", "heldout_gap")
"""Scores that are computed from metrics.json or nested in it."""
SCORES = tuple(each.name for each in fields(ScoreRecord) if each.type == float | None)
"""The fields that are scores."""


SAMPLED_BY = {"precision": "fp32", "compile": False}
"""Conditions of sampling that records of older versions lack, with the only values that these versions had."""


def completed(conditions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the conditions of SAMPLED_BY to those of an older record, if its images are those of a checkpoint."""
    return {**SAMPLED_BY, **conditions} if "weights_sha256" in conditions else conditions


def _chance(metrics: Mapping[str, Any]) -> float:
    """Compute the sum of the squared shares of the requested classes; equal shares if an older record has none."""
    classes = len(metrics.get("class_histogram", {}))
    shares = metrics.get("class_shares_requested", {})
    return float(sum(share**2 for share in shares.values())) if shares else 1 / classes if classes else 0.0


def finite(value: Any) -> float | None:
    """Convert a finite number to float; None for anything else."""
    return float(value) if is_number(value) else None


def fid_name(conditions: Mapping[str, Any]) -> str:
    """Name FID with what it depends on, `FID (classifier, 2,000 images)`: others are not comparable."""
    return f"FID ({measured(conditions)})"


def measured(conditions: Mapping[str, Any]) -> str:
    """Name the extractor and the number of images of an evaluation: `classifier, 2,000 images`."""
    count = conditions.get("count")
    images = [f"{count:,} images"] if is_number(count) else []
    return ", ".join([str(conditions.get("extractor", "unknown extractor")), *images])


def with_extractor(text: str, conditions: Mapping[str, Any]) -> str:
    """Add extractor and number of images to every FID and FID∞ in a text that does not name them."""
    extractor = fid_name(conditions).removeprefix("FID")
    return re.sub(r"\b(FID∞|FID\b)(?! \()", lambda name: f"{name[1]}{extractor}", text)


def description(metrics: Mapping[str, Any]) -> str:
    """Describe an evaluation by FID, extractor and count, in one line; "" without FID."""
    fid, conditions = finite(metrics.get("fid")), metrics.get("conditions", {})
    if fid is None:
        return ""
    return f"{fid_name(conditions)} {score_number(fid)}"
