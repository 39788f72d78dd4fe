"""The typed record of an evaluation's scores, read from metrics.json of this or an older version. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from ddpm.common.values import is_number


@dataclass(frozen=True)
class ScoreRecord:
    """Scores of one set of images; None: not measured, or not a finite number.

    memorisation: evidence of copies. heldout_gap: relative gap of held-out to training loss. loss_warnings: signs of
    overfitting in these losses. floors: by score, the value for real images (`heldout`, `halves`, `copy`) and `noise`,
    taken from `floor_counts` images. classes: number of classes in the class histogram. fid_blocks: FID of each block
    of seeds, in their order. spread: by score, the standard deviation over these blocks. conditions: what the scores
    were measured with. refused: reason why this set could not be scored; else "". source: the content of metrics.json.
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
    classes: int = 0
    fid_blocks: tuple[float, ...] = ()
    spread: Mapping[str, float] = field(default_factory=dict)
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
            classes=len(metrics.get("class_histogram", {})),
            fid_blocks=tuple(metrics.get("blocks", {}).get("values", {}).get("fid", ())),
            spread={
                name: deviation
                for name, each in metrics.get("spread", {}).items()
                if (deviation := finite(each.get("std"))) is not None
            },
            conditions=metrics.get("conditions", {}),
            refused=str(metrics.get("refused", "")),
            source=metrics,
        )

    def value(self, key: str) -> float | None:
        """Return any number of metrics.json, such as a score without a field; None if missing or not finite."""
        return finite(self.source.get(key))

    def has(self, score: str) -> bool:
        """Whether the evaluation measured a score, be it finite or not."""
        return self.source.get(score) is not None

    def floor(self, score: str, images: str) -> float | None:
        """The value of a score for a set of real images, or for noise."""
        return finite(self.floors.get(score, {}).get(images))

    @property
    def fid_ratio(self) -> float | None:
        """FID over its expected value for equally many real images; None if the evaluation has no such floor.

        Finite counts add c (1/n1 + 1/n2) to a distance, to first order (Chong & Forsyth 2020); the halves give c.
        """
        halves, half = self.floor("fid", "halves"), finite(self.floor_counts.get("halves"))
        count, reference = (finite(self.conditions.get(name)) for name in ("count", "reference_count"))
        if self.fid is None or not halves or not half or not count or not reference:
            return None
        return self.fid / (halves * half / 2 * (1 / count + 1 / reference))


SCORES = tuple(each.name for each in fields(ScoreRecord) if each.type == float | None)
"""The fields that are scores."""


def finite(value: Any) -> float | None:
    """A finite number as float; None for anything else."""
    return float(value) if is_number(value) else None
