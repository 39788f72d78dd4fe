"""The table of scores: a row for each that there is, with its spread, its floors, and which way is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["lower", "higher", "real"]
ARROWS: dict[Better, tuple[str, str]] = {
    "lower": ("↓", "lower is better"),
    "higher": ("↑", "higher is better"),
    "real": ("≈", "near real images is better"),
}
ROUNDING = 1e-9  # what equal sets are apart by arithmetic alone
REAL = {"equal_counts": "equally many new images", "heldout": "held-out", "halves": "halves"}
CHEATS = {"noise": "pure noise", "copy": "copied images"}


@dataclass(frozen=True)
class Kind:
    """A score: its key in metrics.json, and what a reader has to know. floors: keys of single numbers, by name."""

    key: str
    name: str
    better: Better
    meaning: str
    floors: Mapping[str, str]
    deviation: str = ""  # key of a spread that is kept beside the score
    share: bool = False  # shown in percent
    again: str = ""  # key of the same score under the condition `under`, shown beside it
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
    "precision": "Share of generated images that lie where real images lie: are they plausible?",
    "recall": "Share of real images that lie where generated ones lie: is all of the data's variety there?",
    "density": "How crowded with real images the places of the generated ones are; real images have about 1.",
    "coverage": "Share of real images with a generated one in their neighbourhood: are modes missing?",
}
KINDS = (
    Kind(
        "fid", "FID", "lower",
        "Fréchet distance between the features of generated and of training images. Real images score above 0 too, "
        "because sets are finite: equally many new ones, by extrapolation; held-out against training images and two "
        "halves of the training images, as measured, of other counts.",
        {"equal_counts": "fid_equal_counts", "heldout": "fid_floor", "halves": "fid_halves"},
    ),
    Kind("fid_infinity", "FID∞", "lower", "FID as it would be with infinitely many images, by extrapolation.", {}),
    Kind("kid", "KID", "lower", "Squared distance between mean features under a cubic kernel; unbiased, so near 0 or "
         "a little below for equal sets.", {}, deviation="kid_se"),
    Kind("sfid", "sFID", "lower", "FID of features that keep where things are in the image.", {}),
    Kind("inception_score", "Inception Score", "higher",
         "How sure the network is of each image, and how varied its answers are.",
         {"heldout": "inception_score_real"}, deviation="inception_score_std"),
    *(
        Kind(name, name.capitalize(), "higher", meaning, {}, again=f"{name}_k5", under="k = 5")
        for name, meaning in NEIGHBOURS.items()
    ),
    Kind("class_accuracy", "Class accuracy", "higher",
         "Share of images that the classifier takes for the class they were drawn for.",
         {"held-out": "extractor_accuracy"}, share=True),
    Kind("class_share_min", "Smallest class share", "higher",
         "Share of the rarest class among the generated images, as the classifier sees them.", {}, share=True),
    Kind("class_histogram_distance", "Class histogram distance", "lower",
         "How far the shares of the classes are from those of the training images; 0: the same.", {}),
    Kind("nearest_train_distance", "Distance to nearest training image", "real",
         "Median over the images, in feature space; far below that of held-out images means memorised ones.",
         {"held-out": "nearest_heldout_baseline"}),
)  # fmt: skip


def table(metrics: Mapping[str, Any], champion: Mapping[str, Any] | None) -> list[Line]:
    """The rows that apply."""
    return [_line(kind, metrics, champion or {}) for kind in KINDS if _number(metrics.get(kind.key)) is not None]


def _line(kind: Kind, metrics: Mapping[str, Any], champion: Mapping[str, Any]) -> Line:
    arrow, better = ARROWS[kind.better]
    measured = metrics.get("floors", {}).get(kind.key, {})
    if kind.key == "inception_score" and "heldout" not in measured:  # of older versions: of the training images
        real = {"training": metrics.get("inception_score_real")}
    else:
        real = {REAL.get(name, name): metrics.get(key) for name, key in kind.floors.items()}
    real |= {words: measured[name] for name, words in REAL.items() if name in measured}
    cheats = {words: measured.get(name) for name, words in CHEATS.items()}
    return Line(
        name=kind.name,
        arrow=arrow,
        better=better,
        value=text(metrics[kind.key], share=kind.share),
        spread=_beside(kind, metrics),
        champion=text(champion.get(kind.key), share=kind.share),
        real=_listed(real, kind.share),
        cheats=_listed(cheats, kind.share),
        meaning=kind.meaning,
    )


def times_real(metrics: Mapping[str, Any]) -> str:
    """`3.4 times what equally many new real images score (0.83)`, or what two halves score in older records."""
    floors = {"fid_equal_counts": "equally many new real images", "fid_halves": "two halves of real images"}
    for key, words in floors.items():
        real = _number(metrics.get(key))
        if real:
            return f"{metrics['fid'] / real:.2g} times what {words} score ({text(real)})"
    return "real images score 0"


def _beside(kind: Kind, metrics: Mapping[str, Any]) -> str:
    """Spread, and the same score under another condition."""
    again = text(metrics.get(kind.again), share=kind.share)
    return "; ".join(filter(None, (_spread(kind, metrics), f"{again} for {kind.under}" if again else "")))


def _spread(kind: Kind, metrics: Mapping[str, Any]) -> str:
    """Spread over blocks of seeds, or else the standard deviation that the score itself has."""
    blocks = metrics.get("spread", {}).get(kind.key)
    if blocks and _number(blocks.get("std")) is not None:
        return f"± {text(blocks['std'], digits=2, share=kind.share)} between blocks of seeds"
    deviation = metrics.get(kind.deviation)
    if _number(deviation) is None:
        return ""
    within = "standard error" if kind.deviation.endswith("_se") else "between parts"
    return f"± {text(deviation, digits=2, share=kind.share)} {within}"


def _listed(values: Mapping[str, Any], share: bool) -> list[str]:
    """`1.14 held-out`, `1.00 halves`."""
    known = {name: value for name, value in values.items() if _number(value) is not None}
    return [f"{text(value, share=share)} {name}".rstrip() for name, value in known.items()]


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
