"""The report: one HTML file that carries its pictures, opens from disk, offline, and reads on a phone.

`make` reads what the stages left and what the last flow run knows; `compose` says it; `render` writes it as HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.values import flatten
from ddpm.report import champion, drift, html, lineage, picture, scores, times
from ddpm.report.facts import Facts
from ddpm.report.picture import Picture

PAGE = Path("out/report/index.html")
METRICS, PICTURES = Path("out/evaluate/metrics.json"), Path("out/evaluate/pictures")
STATISTICS, CONFIG = Path("out/prepare/statistics.json"), Path("out/train/model/config.json")
JUDGED_NOW = "`make run` judges them, registers the model, and promotes it if it is better."


@dataclass(frozen=True)
class Headline:
    """What a reader takes away: the verdict, its reasons, its colour (good, plain or bad), numbers, warnings."""

    title: str
    verdict: str
    reasons: str
    tone: str
    figures: Sequence[tuple[str, str, str]]  # name, number, context
    warnings: Sequence[str]


@dataclass(frozen=True)
class Page:
    """All that the report says, in its order."""

    headline: Headline
    beside: champion.Beside | None
    scores: Sequence[scores.Line]
    pictures: Mapping[str, Sequence[Picture]]  # by part of the page
    memorisation: str
    drift: drift.Drift | None
    lineage: Mapping[str, str]
    commands: Sequence[tuple[str, str]]
    caveat: str
    times: times.Times | None
    tables: Mapping[str, Mapping[str, str]]  # title to rows


def make(facts: Facts | None, target: Path = PAGE) -> bool:
    """Write the page of what is under out/, in the current folder; returns whether it has a verdict.

    Facts about other scores than those under out/ are left aside. Raises FileNotFoundError, ValueError.
    """
    for path, stage in ((METRICS, "evaluate"), (STATISTICS, "prepare"), (CONFIG, "train")):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing. Run `dvc repro {stage}` (or `make run`).")
    judged = facts if facts and facts.scores_sha256 == files.sha256_file(METRICS) else None
    statistics, config = files.read_json(STATISTICS), files.read_json(CONFIG)
    page = compose(
        files.read_json(METRICS),
        picture.read(PICTURES),
        statistics=statistics,
        config=config,
        drifted=drift.find(statistics["sha256"]),
        facts=judged,
        outdated=facts is not None and judged is None,
    )
    files.write_text(target, render(page))
    return judged is not None


def render(page: Page) -> str:
    """The page as HTML."""
    return html.fill("index.html.jinja", page=page)


def compose(
    metrics: Mapping[str, Any],
    pictures: Sequence[Picture],
    *,
    statistics: Mapping[str, Any],
    config: Mapping[str, Any],
    drifted: Mapping[str, Any] | None = None,
    facts: Facts | None = None,
    outdated: bool = False,
) -> Page:
    """The page of one evaluation, from its metrics (as in metrics.json). outdated: a verdict is of other scores."""
    parts: dict[str, list[Picture]] = {}
    for each in pictures:
        parts.setdefault(each.part, []).append(each)
    model = {key: value for key, value in config.items() if key != "digest"}
    conditions = {key.replace("_", " "): value for key, value in metrics["conditions"].items()}
    return Page(
        headline=headline(metrics, facts, outdated=outdated),
        beside=champion.beside(facts) if facts else None,
        scores=scores.table(metrics, facts.champion if facts and not champion.same(facts) else None),
        pictures=parts,
        memorisation=_memorisation(metrics.get("memorisation", {})),
        drift=drift.describe(drifted) if drifted else None,
        lineage=lineage.rows(metrics, statistics, str(config.get("digest", "none")), facts),
        commands=lineage.commands(facts),
        caveat=lineage.caveat(facts),
        times=times.describe(facts) if facts else None,
        tables={"Conditions of the scores": flat(conditions), "Model": flat(model)},
    )


def headline(metrics: Mapping[str, Any], facts: Facts | None, *, outdated: bool) -> Headline:
    """Verdict, reasons and the few numbers that say most."""
    told = (_figures(metrics), _warnings(metrics))
    if facts is None:
        why = "The last verdict was about other scores." if outdated else "No run of the flow has judged these scores."
        return Headline("Evaluation report", "Not judged", f"{why} {JUDGED_NOW}", "plain", *told)
    made = facts.registered
    reasons = "; ".join(facts.verdict["reasons"])
    verdict = f"it {facts.heading}" if facts.heading.startswith("is ") else facts.heading
    return Headline(
        f"{made['name']} version {made['version']}",
        _sentence(verdict).rstrip("."),
        _sentence(reasons),
        facts.tone,
        *told,
    )


def flat(mapping: Mapping[str, Any]) -> dict[str, str]:
    """Nested sections as `section.key` to text."""
    return {
        key: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for key, value in flatten(mapping)
    }


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _figures(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The headline numbers: at most four."""
    halves = scores.text(float(metrics["fid_halves"]))
    times_floor = f"; {metrics['fid'] / metrics['fid_halves']:.2g} times that" if metrics["fid_halves"] > 0 else ""
    found = [("FID", f"{metrics['fid']:.3g}", f"↓ two halves of real images: {halves}{times_floor}")]
    if "recall" in metrics and "precision" in metrics:
        found.append(
            ("Precision, recall", f"{metrics['precision']:.2f}, {metrics['recall']:.2f}", "↑ plausible, and varied")
        )
    else:
        real = f"↑ real images {metrics['inception_score_real']:.3g}"
        found.append(("Inception Score", f"{metrics['inception_score']:.3g}", real))
    if "class_accuracy" in metrics:
        found.append(("Class accuracy", f"{metrics['class_accuracy']:.1%}", "↑ taken for the class asked for"))
    if "memorisation_ratio" in metrics:
        found.append(("Novelty", f"{metrics['memorisation_ratio']:.2f}", "≈ 1: as new as unseen real images"))
    return found


def _memorisation(found: Mapping[str, Any]) -> str:
    """Describe the evidence of copies; empty without a search."""
    told = []
    if "exact_copies" in found:
        told.append(f"{found['exact_copies']:,} exact copies of training images")
    if "near_copies" in found:
        expected = found.get("near_copies_expected")
        usual = "" if expected is None else f", where {expected:,.0f} of so many new images would be"
        within = f" (nearer than {scores.text(found['threshold'])})" if "threshold" in found else ""
        told.append(f"{found['near_copies']:,} near ones{within}{usual}")
    if found.get("p_value") is not None:
        told.append(f"one-sided test that samples lie nearer than unseen images: p = {found['p_value']:.2g}")
    return f"{'; '.join(told)}." if told else ""


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
            "look for copies among the nearest training images below."
        )
    found += [_sentence(text.rstrip(".")) for text in metrics.get("generalisation", {}).get("warnings", ())]
    if metrics.get("memorisation", {}).get("flagged"):
        found.append("Copies of training images are among the samples, or too many near ones: see Memorisation below.")
    return found
