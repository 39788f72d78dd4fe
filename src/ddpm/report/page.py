"""The report: one HTML file that carries its pictures, opens from disk, offline, and reads on a phone."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Picture:
    """One picture with its words: `alt` says what is to be seen, `caption` how to read it."""

    png: bytes
    title: str
    caption: str
    alt: str

    @property
    def source(self) -> str:
        """The picture itself, as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Score:
    """One line of the table; `real` is what real images get."""

    name: str
    value: str
    real: str
    better: str
    meaning: str


@dataclass(frozen=True)
class Page:
    """All that the report says."""

    title: str
    lead: str
    figures: Sequence[tuple[str, str, str]]  # name, number, context
    scores: Sequence[Score]
    warnings: Sequence[str]
    pictures: Sequence[Picture]
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # title to rows


def render(page: Page) -> str:
    """The page as HTML."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("ddpm.report").joinpath("index.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).render(page=page)


def compose(metrics: Mapping[str, Any], pictures: Sequence[Picture], tables: Mapping[str, Mapping[str, Any]]) -> Page:
    """The page of one evaluation, from its metrics (as in metrics.json)."""
    conditions = metrics["conditions"]
    count = conditions["count"]
    times = metrics["fid"] / metrics["fid_halves"] if metrics["fid_halves"] > 0 else None
    compared = f": {times:.3g} times the distance between two halves of the real images" if times is not None else ""
    return Page(
        title="Evaluation report",
        lead=f"{count:,} generated images, seen through {conditions['extractor']} features. "
        f"FID {metrics['fid']:.3g}{compared}.",
        figures=_figures(metrics),
        scores=_scores(metrics),
        warnings=_warnings(metrics),
        pictures=pictures,
        tables=tables,
    )


def flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested sections as `section.key` to text."""
    rows: dict[str, str] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            rows |= flat(value, f"{prefix}{key}.")
        else:
            rows[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return rows


def _figures(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The headline numbers."""
    figures = [
        ("FID", f"{metrics['fid']:.3g}", f"real images {metrics['fid_halves']:.3g}, lower is better"),
        (
            "Inception Score",
            f"{metrics['inception_score']:.3g}",
            f"real images {metrics['inception_score_real']:.3g}, higher is better",
        ),
    ]
    if "class_accuracy" in metrics:
        figures.append(("Class accuracy", f"{metrics['class_accuracy']:.1%}", "samples taken for the class asked for"))
    if "memorisation_ratio" in metrics:
        figures.append(("Memorisation", f"{metrics['memorisation_ratio']:.2f}", "1: as new as unseen real images"))
    return figures


def _scores(metrics: Mapping[str, Any]) -> list[Score]:
    """The table of scores, those that apply."""
    deviation = metrics.get("inception_score_std")
    spread = "" if deviation is None else f" ± {deviation:.2g}"
    splits = metrics["conditions"]["inception_score_splits"]
    lines = [
        Score(
            "FID",
            f"{metrics['fid']:.4g}",
            f"{metrics['fid_halves']:.4g} (halves), {metrics['fid_floor']:.4g} (held-out)",
            "lower",
            "Fréchet distance between the features of generated and of training images. Real images score above 0 too, "
            "because sets are finite: two halves of the training split, and training against held-out split.",
        ),
        Score(
            "Inception Score",
            f"{metrics['inception_score']:.4g}{spread}",
            f"{metrics['inception_score_real']:.4g}",
            "higher",
            f"How sure the network is of each image, and how varied its answers are; mean over {splits} parts.",
        ),
    ]
    if "class_accuracy" in metrics:
        accuracy = metrics.get("extractor_accuracy")
        real = "" if accuracy is None else f"{accuracy:.1%}"
        text = "Share of images that the classifier takes for the class they were drawn for (real: labelled held-out)."
        lines.append(Score("Class accuracy", f"{metrics['class_accuracy']:.1%}", real, "higher", text))
    if "class_share_min" in metrics:
        text = "Share of the rarest class among the generated images, as the classifier sees them."
        lines.append(Score("Smallest class share", f"{metrics['class_share_min']:.2%}", "", "higher", text))
    lines.append(
        Score(
            "Distance to nearest training image",
            f"{metrics['nearest_train_distance']:.4g}",
            f"{metrics['nearest_heldout_baseline']:.4g}",
            "near the real value",
            "Median over the samples, in feature space; far below that of held-out images means memorised ones.",
        )
    )
    return lines


def _warnings(metrics: Mapping[str, Any]) -> list[str]:
    """What a reader must know before trusting the numbers."""
    conditions = metrics["conditions"]
    found = []
    if not conditions["full_rank"]:
        found.append(
            f"No more images ({conditions['count']:,} generated, {conditions['reference_count']:,} real) than features "
            f"({conditions['feature_dimension']:,}): FID is far too high and only good for comparing equal counts."
        )
    if metrics.get("memorisation_ratio", 1.0) < 0.5:
        found.append(
            "The samples lie less than half as far from the training images as unseen real images do: "
            "look for copies among the nearest neighbours below."
        )
    return found
