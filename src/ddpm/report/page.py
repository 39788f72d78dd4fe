"""The report: one self-contained HTML file that works offline and on a phone.

`make` reads the stages' outputs and the summary of the last flow run, `compose` arranges them, `render` writes HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.values import flatten
from ddpm.evaluation.score_record import ScoreRecord, fid_name
from ddpm.report import comparison, drift, html, lineage, picture, scores, times
from ddpm.report.picture import Picture
from ddpm.report.run_summary import RunSummary

PAGE = Path("out/report/index.html")
METRICS, PICTURES = Path("out/evaluate/metrics.json"), Path("out/evaluate/pictures")
STATISTICS, CONFIG = Path("out/prepare/statistics.json"), Path("out/train/model/config.json")
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


@dataclass(frozen=True)
class Page:
    """Content of the report, in order."""

    headline: Headline
    comparison: comparison.Comparison | None
    scores: Sequence[scores.Line]
    pictures: Mapping[str, Sequence[Picture]]  # by part of the page
    memorisation: str
    drift: drift.Drift | None
    lineage: Mapping[str, str]
    commands: Sequence[tuple[str, str]]
    caveat: str
    times: times.Times | None
    tables: Mapping[str, Mapping[str, str]]  # title to rows


def make(summary: RunSummary | None, target: Path = PAGE) -> bool:
    """Write the page of the results under out/, in the current folder; return True if it has a verdict.

    A summary of other scores than those under out/ is ignored. Raises FileNotFoundError, ValueError.
    """
    for path, stage in ((METRICS, "evaluate"), (STATISTICS, "prepare"), (CONFIG, "train")):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing. Run `dvc repro {stage}` (or `make run`).")
    judged = summary if summary and summary.scores_sha256 == files.sha256_file(METRICS) else None
    statistics, config = files.read_json(STATISTICS), files.read_json(CONFIG)
    page = compose(
        ScoreRecord.from_json(files.read_json(METRICS)),
        picture.read(PICTURES),
        statistics=statistics,
        config=config,
        drifted=drift.find(statistics["sha256"]),
        summary=judged,
        outdated=summary is not None and judged is None,
    )
    files.write_text(target, render(page))
    return judged is not None


def render(page: Page) -> str:
    """Render the page as HTML."""
    return html.fill("index.html.jinja", page=page)


def compose(
    record: ScoreRecord,
    pictures: Sequence[Picture],
    *,
    statistics: Mapping[str, Any],
    config: Mapping[str, Any],
    drifted: Mapping[str, Any] | None = None,
    summary: RunSummary | None = None,
    outdated: bool = False,
) -> Page:
    """Arrange the page of one evaluation. outdated: the summary of the last run is of other scores."""
    parts: dict[str, list[Picture]] = {}
    for each in pictures:
        parts.setdefault(each.part, []).append(each)
    model = {key: value for key, value in config.items() if key != "digest"}
    rival = summary.champion if summary and not comparison.same(summary) else None
    conditions = {key.replace("_", " "): value for key, value in record.conditions.items()}
    return Page(
        headline=headline(record, summary, outdated=outdated),
        comparison=comparison.compare(summary) if summary else None,
        scores=scores.table(record, ScoreRecord.from_json(rival) if rival else None),
        pictures=parts,
        memorisation=_memorisation(record.memorisation),
        drift=drift.describe(drifted) if drifted else None,
        lineage=lineage.rows(record.conditions, statistics, str(config.get("digest", "none")), summary),
        commands=lineage.commands(summary),
        caveat=lineage.caveat(summary),
        times=times.describe(summary) if summary else None,
        tables={"Conditions of the scores": flat(conditions), "Model": flat(model)},
    )


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
        found.append((fid_name(record.conditions), f"{record.fid:.3g}", f"↓ {scores.times_real(record)}"))
    if record.precision is not None and record.recall is not None:
        found.append(("Precision, recall", f"{record.precision:.2f}, {record.recall:.2f}", "↑ plausible, and varied"))
    elif record.inception_score is not None:
        real = f"↑ unseen real images {scores.text(record.inception_score_real)}"
        found.append(("Inception Score", f"{record.inception_score:.3g}", real))
    if record.class_accuracy is not None:
        found.append(("Class accuracy", f"{record.class_accuracy:.1%}", "↑ classified as requested"))
    if record.memorisation_ratio is not None:
        found.append(("Novelty", f"{record.memorisation_ratio:.2f}", "≈ 1: as new as unseen real images"))
    return found


def _memorisation(found: Mapping[str, Any]) -> str:
    """Describe the evidence of copies; empty without a search."""
    parts = []
    if "exact_copies" in found:
        parts.append(f"{found['exact_copies']:,} exact copies of training images")
    if "near_copies" in found:
        expected = found.get("near_copies_expected")
        usual = "" if expected is None else f", {expected:,.0f} expected for equally many new images"
        within = f" (nearer than {scores.text(found['threshold'])})" if "threshold" in found else ""
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
