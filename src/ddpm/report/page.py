"""The report: one self-contained HTML file that works offline and on a phone.

`make` reads the stages' outputs and the summary of the last flow run, `compose` arranges them, `render` writes HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.units import score_number
from ddpm.common.values import flatten
from ddpm.evaluation import score_text
from ddpm.evaluation.score_record import ScoreRecord, fid_name
from ddpm.report import comparison, drift, facts, html, lineage, picture, scores, times
from ddpm.report.facts import Fact, Training
from ddpm.report.picture import Picture
from ddpm.report.run_summary import RunSummary

PAGE = Path("out/report/index.html")
METRICS, PICTURES = Path("out/evaluate/metrics.json"), Path("out/evaluate/pictures")
TRAIN = Path("out/train")
STATISTICS, CONFIG = Path("out/prepare/statistics.json"), TRAIN / "model/config.json"
UNKNOWN = Training()
CONDITIONS = "Conditions of the scores"
JUDGED_NOW = "`make run` judges them, registers the model, and promotes it if it is better."


@dataclass(frozen=True)
class Headline:
    """Verdict, its reasons, its tone (good, plain or bad), headline numbers, warnings."""

    title: str
    verdict: str
    reasons: str
    tone: str
    figures: Sequence[tuple[str, str, str]]  # name, number, context
    warnings: Sequence[str]


PARTS = {
    "images": "Images",
    "extremes": "Best and worst",
    "process": "Denoising",
    "training": "Schedule and training",
    "memorisation": "Memorisation",
}
"""Sections of pictures with their titles, in order."""


@dataclass(frozen=True)
class Page:
    """Content of the report, in order. strip: the first samples; contents: title of each section by its id."""

    headline: Headline
    strip: Picture | None
    facts: Sequence[Fact]
    contents: Mapping[str, str]
    scores: comparison.Scores
    pictures: Mapping[str, Sequence[Picture]]  # by part of the page
    memorisation: str
    drift: drift.Drift | None
    lineage: Mapping[str, str]
    commands: Sequence[tuple[str, str]]
    caveat: str
    times: times.Times | None
    tables: Mapping[str, Mapping[str, str]]  # title to rows

    @property
    def conditions(self) -> Mapping[str, str]:
        """The conditions under which the scores were measured."""
        return self.tables[CONDITIONS]


def make(summary: RunSummary | None, target: Path = PAGE) -> bool:
    """Write the page of the results under out/, in the current folder; return True if it has a verdict; see `load`."""
    page = load(summary)
    files.write_text(target, render(page))
    return page.times is not None


def load(summary: RunSummary | None) -> Page:
    """Arrange the page of the results under out/, in the current folder.

    A summary of other scores than those under out/ is ignored. Raises FileNotFoundError, ValueError.
    """
    for path, stage in ((METRICS, "evaluate"), (STATISTICS, "prepare"), (CONFIG, "train")):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing. Run `dvc repro {stage}` (or `make run`).")
    judged = summary if summary and summary.scores_sha256 == files.sha256_file(METRICS) else None
    statistics, config = files.read_json(STATISTICS), files.read_json(CONFIG)
    return compose(
        ScoreRecord.from_json(files.read_json(METRICS)),
        picture.read(PICTURES),
        statistics=statistics,
        config=config,
        drifted=drift.find(statistics["sha256"]),
        training=facts.read(TRAIN),
        summary=judged,
        outdated=summary is not None and judged is None,
    )


def render(page: Page) -> str:
    """Render the page as HTML."""
    return html.fill("index.html.jinja", page=page)


def compose(
    record: ScoreRecord,
    pictures: Sequence[Picture],
    *,
    statistics: Mapping[str, Any],
    config: Mapping[str, Any],
    training: Training = UNKNOWN,
    drifted: Mapping[str, Any] | None = None,
    summary: RunSummary | None = None,
    outdated: bool = False,
) -> Page:
    """Arrange the page of one evaluation. outdated: the summary of the last run is of other scores.

    All scores are those that the gate judged: after a comparison with a champion, those of both from its seeds.
    """
    evaluated, record = record, comparison.judged(record, summary)
    parts: dict[str, list[Picture]] = {}
    for each in pictures:
        parts.setdefault(each.part, []).append(each)
    strip = parts.pop("top", [None])[0]
    model = {key: value for key, value in config.items() if key != "digest"}
    conditions = {key.replace("_", " "): value for key, value in record.conditions.items()}
    return Page(
        headline=headline(record, summary, outdated=outdated),
        strip=strip,
        facts=facts.rows(training, statistics, config, summary),
        contents=_contents(parts),
        scores=comparison.table(record, evaluated, summary),
        pictures=parts,
        memorisation=_memorisation(record.memorisation),
        drift=drift.describe(drifted) if drifted else None,
        lineage=lineage.rows(record.conditions, statistics, str(config.get("digest", "none")), summary),
        commands=lineage.commands(summary),
        caveat=lineage.caveat(summary),
        times=times.describe(summary) if summary else None,
        tables={
            **scores.stylised_facts(evaluated.source.get("facts")),
            CONDITIONS: flat(conditions),
            "Model": flat(model),
        },
    )


def _contents(parts: Mapping[str, Any]) -> dict[str, str]:
    """List the sections: id to title."""
    pictured = {part: title for part, title in PARTS.items() if parts.get(part)}
    return {"scores": "Scores", **pictured, "drift": "Data drift", "lineage": "Lineage", "times": "Run time and cost"}


def headline(record: ScoreRecord, summary: RunSummary | None, *, outdated: bool) -> Headline:
    """Build verdict, reasons, headline numbers and warnings."""
    content = (_figures(record), _warnings(record))
    if summary is None:
        why = "The last verdict was about other scores." if outdated else "No flow run has judged these scores yet."
        return Headline("Evaluation report", "Not judged", f"{why} {JUDGED_NOW}", "plain", *content)
    made = summary.registered
    reasons = "; ".join(summary.verdict["reasons"])
    verdict = f"it {summary.heading}" if summary.heading.startswith("is ") else summary.heading
    return Headline(
        f"{made['name']} version {made['version']}",
        _sentence(verdict).rstrip("."),
        _sentence(reasons),
        summary.tone,
        *content,
    )


def flat(mapping: Mapping[str, Any]) -> dict[str, str]:
    """Flatten nested sections to `section.key` with text values."""
    return {
        key: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for key, value in flatten(mapping)
    }


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _figures(record: ScoreRecord) -> list[tuple[str, str, str]]:
    """Format the headline numbers: at most four, without those that were not measured."""
    found = []
    if record.fid is not None:
        found.append((fid_name(record.conditions), score_number(record.fid), f"↓ {scores.times_real(record)}"))
    if record.precision is not None and record.recall is not None:
        pair = f"{score_number(record.precision)}, {score_number(record.recall)}"
        found.append(("Precision, recall", pair, "↑ plausible, and varied"))
    elif record.inception_score is not None:
        real = f"↑ real images {score_number(record.real('inception_score'))}"
        found.append(("Inception Score", score_number(record.inception_score), real))
    others = {"class_accuracy": "↑ classified as requested", "memorisation_ratio": "≈ 1: as new as unseen real images"}
    for key, meaning in others.items():
        if (value := record.value(key)) is not None:
            name = score_text.title(key)
            found.append((name, score_text.text(name, value), meaning))
    return found


def _memorisation(found: Mapping[str, Any]) -> str:
    """Describe the evidence of copies; empty without a search."""
    parts = []
    if "exact_copies" in found:
        parts.append(f"{found['exact_copies']:,} exact copies of training images")
    if "near_copies" in found:
        expected = found.get("near_copies_expected")
        usual = "" if expected is None else f", {expected:,.0f} expected for equally many new images"
        within = f" (nearer than {score_number(found['threshold'])})" if "threshold" in found else ""
        parts.append(f"{found['near_copies']:,} near copies{within}{usual}")
    if found.get("heldout_with_near_copy"):
        parts.append(f"{found['heldout_with_near_copy']:,} held-out images have a near copy in training: not counted")
    if found.get("p_value") is not None:
        parts.append(f"one-sided test of samples being nearer than unseen images: p = {found['p_value']:.2g}")
    return f"{'; '.join(parts)}." if parts else ""


def _warnings(record: ScoreRecord) -> list[str]:
    """List warnings about the numbers."""
    conditions = record.conditions
    found = []
    if not conditions["full_rank"]:
        found.append(
            f"Not more images ({conditions['count']:,} generated, {conditions['reference_count']:,} real) than "
            f"features ({conditions['feature_dimension']:,}): {fid_name(conditions)} is far too high and only "
            "comparable at equal counts."
        )
    if record.memorisation_ratio is not None and record.memorisation_ratio < 0.5:
        found.append(
            "The samples are less than half as far from the training images as unseen real images are: "
            "look for copies among the nearest training images below."
        )
    found += [_sentence(warning.rstrip(".")) for warning in record.loss_warnings]
    if record.memorisation.get("flagged"):
        found.append("The samples contain copies of training images, or too many near copies: see Memorisation below.")
    return found
