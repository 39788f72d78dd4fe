"""The table of scores: a row per measured score, with spread, floors and direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ddpm.evaluation.score_record import ScoreRecord, with_extractor

Better = Literal["lower", "higher", "real"]
ARROWS: dict[Better, tuple[str, str]] = {
    "lower": ("↓", "lower is better"),
    "higher": ("↑", "higher is better"),
    "real": ("≈", "near real images is better"),
}
ROUNDING = 1e-9  # difference of equal sets by arithmetic alone
REAL = {"equal_counts": "equally many new images", "heldout": "held-out", "halves": "halves"}
CHEATS = {"noise": "pure noise", "copy": "copied images"}


@dataclass(frozen=True)
class Kind:
    """A score: its key in metrics.json, direction and meaning. floors: keys of single numbers, by name."""

    key: str
    name: str
    better: Better
    meaning: str
    floors: Mapping[str, str]
    deviation: str = ""  # key of its standard deviation or error
    share: bool = False  # shown in percent
    again: str = ""  # key of the same score under the condition `under`, also shown
    under: str = ""


@dataclass(frozen=True)
class Line:
    """A row of the table, formatted."""

    name: str
    arrow: str
    better: str
    value: str
    spread: str
    champion: str
    real: Sequence[str]
    cheats: Sequence[str]
    meaning: str


NEIGHBOURS = {
    "precision": "Share of generated images within the region of real images: are they plausible?",
    "recall": "Share of real images within the region of generated ones: is all of the data's variety covered?",
    "density": "Number of real neighbourhoods around a generated image; real images have about 1.",
    "coverage": "Share of real images with a generated one in their neighbourhood: are modes missing?",
}
CLIPPED = {
    "clipped_density": "Share of generated images as plausible as real ones; robust to outliers.",
    "clipped_coverage": "Share of samples from the data distribution that would give the same coverage.",
}
KINDS = (
    Kind(
        "fid", "FID", "lower",
        "Fréchet distance between the features of generated and training images. Real images also score above 0, "
        "because sets are finite: equally many new images (extrapolated), and, as measured at other counts, held-out "
        "against training images and two halves of the training images.",
        {"equal_counts": "fid_equal_counts", "heldout": "fid_floor", "halves": "fid_halves"},
    ),
    Kind("fid_infinity", "FID∞", "lower", "FID extrapolated to infinitely many images.", {}),
    Kind("kid", "KID", "lower", "Squared distance between mean features under a cubic kernel; unbiased, so near 0 or "
         "a little below for equal sets.", {}, deviation="kid_se"),
    Kind("sfid", "sFID", "lower", "FID of spatial features, which keep positions in the image.", {}),
    Kind("inception_score", "Inception Score", "higher",
         "Confidence of the network in each image's class, and variety of the classes.",
         {"heldout": "inception_score_real"}, deviation="inception_score_std"),
    *(
        Kind(name, name.capitalize(), "higher", meaning, {}, again=f"{name}_k5", under="k = 5")
        for name, meaning in NEIGHBOURS.items()
    ),
    *(Kind(name, name.replace("_", " ").capitalize(), "higher", meaning, {}) for name, meaning in CLIPPED.items()),
    Kind("class_accuracy", "Class accuracy", "higher",
         "Share of images that the classifier assigns to the requested class.",
         {"held-out": "extractor_accuracy"}, share=True),
    Kind("class_share_min", "Smallest class share", "higher",
         "Share of the rarest class among the generated images, by the classifier.", {}, share=True),
    Kind("class_histogram_distance", "Class histogram distance", "lower",
         "Distance of the class shares from those of the training images; 0: equal.", {}),
    Kind("nearest_train_distance", "Distance to nearest training image", "real",
         "Median over the images, in feature space; far below that of held-out images indicates memorisation.",
         {"held-out": "nearest_heldout_baseline"}),
)  # fmt: skip


def table(record: ScoreRecord, champion: ScoreRecord | None) -> list[Line]:
    """Build the rows of the scores measured."""
    return [_line(kind, record, champion) for kind in KINDS if record.value(kind.key) is not None]


def _line(kind: Kind, record: ScoreRecord, champion: ScoreRecord | None) -> Line:
    arrow, better = ARROWS[kind.better]
    named = kind.floors
    if kind.key == "inception_score" and record.floor(kind.key, "heldout") is None:
        named = {"training": "inception_score_real"}  # older records measured the training images
    real = {REAL.get(name, name): record.value(key) for name, key in named.items()}
    real |= {title: floor for name, title in REAL.items() if (floor := record.floor(kind.key, name)) is not None}
    cheats = {title: record.floor(kind.key, name) for name, title in CHEATS.items()}
    return Line(
        name=with_extractor(kind.name, record.conditions),
        arrow=arrow,
        better=better,
        value=text(record.value(kind.key), share=kind.share),
        spread=_annotations(kind, record),
        champion=text(champion and champion.value(kind.key), share=kind.share),
        real=_listed(real, kind.share),
        cheats=_listed(cheats, kind.share),
        meaning=with_extractor(kind.meaning, record.conditions),
    )


def times_real(record: ScoreRecord) -> str:
    """Format FID as `3.4 times that of equally many new real images (0.83)`; older records: of two halves."""
    floors = {"fid_equal_counts": "equally many new real images", "fid_halves": "two halves of real images"}
    for key, images in floors.items():
        real = record.value(key)
        if real and record.fid is not None:
            return f"{record.fid / real:.2g} times that of {images} ({text(real)})"
    measured = any(record.value(key) is not None for key in floors)
    return "0 for real images" if measured else "not measured for real images"


def _annotations(kind: Kind, record: ScoreRecord) -> str:
    """Format the spread, and the same score under another condition."""
    again = text(record.value(kind.again), share=kind.share)
    return "; ".join(filter(None, (_spread(kind, record), f"{again} for {kind.under}" if again else "")))


def _spread(kind: Kind, record: ScoreRecord) -> str:
    """Format the spread over seed blocks, else the score's own standard deviation or error."""
    if kind.key in record.spread:
        return f"± {text(record.spread[kind.key], digits=2, share=kind.share)} between seed blocks"
    deviation = record.value(kind.deviation)
    if deviation is None:
        return ""
    within = "standard error" if kind.deviation.endswith("_se") else "between splits"
    return f"± {text(deviation, digits=2, share=kind.share)} {within}"


def _listed(values: Mapping[str, float | None], share: bool) -> list[str]:
    """Format as `1.14 held-out`, `1.00 halves`."""
    return [f"{text(value, share=share)} {name}".rstrip() for name, value in values.items() if value is not None]


def text(value: Any, *, digits: int = 3, share: bool = False) -> str:
    """Format a number with significant digits only; "" for a value that is not a number."""
    number = _number(value)
    if number is None:
        return ""
    number = 0.0 if abs(number) < ROUNDING else number
    if isinstance(value, int) or abs(number) >= 10**digits:
        return f"{number:,.0f}"
    return f"{100 * number:#.{digits}g}".rstrip(".") + "%" if share else f"{number:#.{digits}g}".rstrip(".")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
