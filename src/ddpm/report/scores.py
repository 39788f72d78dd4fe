"""The table of scores: a row for each, with its spread, the champion's score, that of real images, and the limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ddpm.common.units import score_number
from ddpm.evaluation import score_text
from ddpm.evaluation.score_record import ScoreRecord, with_extractor

Better = Literal["lower", "higher", "real"]
ARROWS: dict[Better, tuple[str, str]] = {
    "lower": ("↓", "lower is better"),
    "higher": ("↑", "higher is better"),
    "real": ("≈", "near real images is better"),
}
CHEATS = {"noise": "Noise", "copy": "Copies"}
NO_ROW: Mapping[str, Any] = {"limit": "", "ok": None}


@dataclass(frozen=True)
class Kind:
    """A score: its key in metrics.json, direction and meaning."""

    key: str
    name: str
    better: Better
    meaning: str
    deviation: str = ""  # key of its standard deviation or error
    again: str = ""  # key of the same score under the condition `under`, also shown
    under: str = ""

    @property
    def share(self) -> bool:
        """True if it is written as a percentage."""
        return self.key in score_text.SHARES


@dataclass(frozen=True)
class Line:
    """A row of the table, formatted. kept: yes or no for a score with a limit, else ""; cheats: as in CHEATS."""

    name: str
    arrow: str
    better: str
    value: str
    spread: str
    champion: str
    change: str
    real: str
    limit: str
    kept: str
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


def _kind(key: str, better: Better, meaning: str, deviation: str = "") -> Kind:
    again = {"again": f"{key}_k5", "under": "k = 5"} if key in NEIGHBOURS else {}
    return Kind(key, score_text.title(key), better, meaning, deviation, **again)


KINDS = (
    _kind("fid", "lower", "Fréchet distance between the features of generated and training images. Real images also "
          "score above 0, because sets are finite: shown is the value expected of equally many new ones."),
    _kind("fid_ratio", "lower", "FID over that of equally many new real images."),
    _kind("kid", "lower", "Squared distance between mean features under a cubic kernel; unbiased, so near 0 or a "
          "little below for equal sets.", "kid_se"),
    *(_kind(key, "higher", NEIGHBOURS[key]) for key in ("precision", "recall")),
    _kind("inception_score", "higher", "Confidence of the network in each image's class, and variety of the classes.",
          "inception_score_std"),
    _kind("class_accuracy", "higher", "Share of images that the classifier assigns to the requested class."),
    _kind("class_share_min", "higher", "Share of the rarest class among the generated images, by the classifier."),
    _kind("memorisation_ratio", "real", "Median distance to the nearest training image in feature space, over that of "
          "held-out images: far below 1 indicates copies."),
    _kind("heldout_gap", "lower", "Relative difference of the loss on held-out and on training images: a large one "
          "indicates memorisation."),
    _kind("facts_deviation", "lower", "Series: the largest deviation of a stylised fact (kurtosis, memory, leverage, "
          "risk) from that of the training windows, in units of its spread over blocks of time."),
    *(_kind(key, "higher", NEIGHBOURS[key]) for key in ("density", "coverage")),
    *(Kind(key, key.replace("_", " ").capitalize(), "higher", meaning) for key, meaning in CLIPPED.items()),
    Kind("fid_infinity", "FID∞", "lower", "FID extrapolated to infinitely many images."),
    Kind("sfid", "sFID", "lower", "FID of spatial features, which keep positions in the image."),
    Kind("class_histogram_distance", "Class histogram distance", "lower",
         "Distance of the class shares from those of the training images; 0: equal."),
)  # fmt: skip


def table(record: ScoreRecord, champion: ScoreRecord | None, judged: Sequence[Mapping[str, Any]] = ()) -> list[Line]:
    """Build the rows of the scores that were measured or have a limit. judged: rows of the gate, as in a verdict."""
    limits = {_plain(str(each["name"])): each for each in judged}
    rows = [(kind, limits.get(_plain(kind.name), NO_ROW)) for kind in KINDS]
    return [
        _line(kind, record, champion, row) for kind, row in rows if record.value(kind.key) is not None or row["limit"]
    ]


def _plain(name: str) -> str:
    """Reduce the name of a score to its key in the table, without extractor: `fid ratio to real images`."""
    before, _, after = name.partition(" (")
    return f"{before}{after.partition(')')[2]}".lower()


def _line(kind: Kind, record: ScoreRecord, champion: ScoreRecord | None, row: Mapping[str, Any]) -> Line:
    arrow, better = ARROWS[kind.better]
    ours, theirs = record.value(kind.key), champion and champion.value(kind.key)
    cheats = [score_number(record.floor(kind.key, name), share=kind.share) for name in CHEATS]
    return Line(
        name=with_extractor(kind.name, record.conditions),
        arrow=arrow,
        better=better,
        value=score_number(ours, share=kind.share) or "not measured",
        spread=_annotations(kind, record),
        champion=score_number(theirs, share=kind.share),
        change=f"{(ours - theirs) / abs(theirs):+.1%}" if ours is not None and theirs else "",
        real=score_number(record.real(kind.key), share=kind.share),
        limit=str(row["limit"]),
        kept={True: "yes", False: "no"}.get(row["ok"], ""),
        cheats=cheats if any(cheats) else (),
        meaning=with_extractor(kind.meaning, record.conditions),
    )


def times_real(record: ScoreRecord) -> str:
    """Format FID as a multiple: `3.67 times that of real images (0.750)`."""
    real = record.real("fid")
    if record.fid is None or not real:
        return "0 for real images" if real == 0 else "not measured for real images"
    return f"{score_number(record.fid / real)} times that of real images ({score_number(real)})"


def _annotations(kind: Kind, record: ScoreRecord) -> str:
    """Format the spread, and the same score under another condition."""
    again = score_number(record.value(kind.again), share=kind.share)
    return "; ".join(filter(None, (_spread(kind, record), f"{again} for {kind.under}" if again else "")))


def _spread(kind: Kind, record: ScoreRecord) -> str:
    """Format the spread over seed blocks, else the score's own standard deviation or error."""
    if kind.key in record.spread:
        return f"± {score_number(record.spread[kind.key], digits=2, share=kind.share)}"
    deviation = record.value(kind.deviation)
    if deviation is None:
        return ""
    within = "standard error" if kind.deviation.endswith("_se") else "between splits"
    return f"± {score_number(deviation, digits=2, share=kind.share)} {within}"


def stylised_facts(found: Mapping[str, Any] | None) -> dict[str, dict[str, str]]:
    """Build the table of stylised facts from metrics.json: a fact, then its value for each set; empty for images."""
    if not found:
        return {}
    sets = found["sets"]
    rows = {
        fact.replace("_", " "): ", ".join(f"{name} {score_number(values[fact])}" for name, values in sets.items())
        + f"; spread of real blocks {score_number(found['spread'][fact])}"
        for fact in sets["real"]
    }
    covered = found["coverage"]
    rows["coverage of the value at risk"] = (
        f"{covered['rate']:.2%} of held-out values below it, {covered['expected']:.0%} expected; Kupiec's test for "
        f"{covered['count']:,} values, if independent: p = {covered['p_value']:.2g}"
    )
    return {"Stylised facts": rows}
