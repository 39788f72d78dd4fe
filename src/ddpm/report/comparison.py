"""The scores of the page: those that the gate judged, beside the champion's, with notes on how to read them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ddpm.common.units import score_number
from ddpm.evaluation.gate import NO_LIMITS
from ddpm.evaluation.score_record import ScoreRecord, fid_name, measured
from ddpm.report import scores
from ddpm.report.run_summary import RunSummary


@dataclass(frozen=True)
class Scores:
    """The table of scores. model, champion: headings of their columns, "" without a champion; notes: how to read it."""

    notes: Sequence[str]
    model: str
    champion: str
    lines: Sequence[scores.Line]


def judged(record: ScoreRecord, summary: RunSummary | None) -> ScoreRecord:
    """Return the scores that the gate judged; those of the evaluation without a comparison."""
    compared = summary and summary.judged and champion(summary)
    return ScoreRecord.from_json(summary.judged or {}) if summary and compared else record


def champion(summary: RunSummary) -> ScoreRecord | None:
    """Return the scores of the champion that the model was compared with; None without one or if it is the model."""
    if summary.champion is None or summary.verdict["verdict"] == "unchanged":
        return None
    found = ScoreRecord.from_json(summary.champion)
    return None if found.fid is None else found


def table(record: ScoreRecord, evaluated: ScoreRecord, summary: RunSummary | None) -> Scores:
    """Make the table of scores with the gate's limits, and notes on the comparison."""
    rival = champion(summary) if summary else None
    notes = [
        f"Extractor and number of images: {measured(record.conditions)}. Scores are comparable only under equal "
        "conditions, which are listed under Lineage. ±: standard deviation between seed blocks, unless stated."
    ]
    if summary:
        notes.insert(0, _note(summary))
    if record.fid != evaluated.fid and evaluated.fid is not None:
        notes.append(
            "For the comparison, both models were sampled anew, from seeds that depend on both; with the seeds of "
            f"params.yaml, as in MLflow and in dvc metrics show, {fid_name(evaluated.conditions)} is "
            f"{score_number(evaluated.fid)}."
        )
    model = f"Version {summary.registered['version']}" if summary else "This model"
    rows = summary.verdict["rows"] if summary else ()
    return Scores(notes, model, "Champion" if rival else "", scores.table(record, rival, rows))


def _note(summary: RunSummary) -> str:
    """Describe the comparison that the gate made."""
    version = summary.registered["version"]
    if summary.verdict["verdict"] == "unchanged":
        return f"Version {version} is the champion itself, so there is nothing to compare it with."
    if summary.champion is None:
        limited = any(each["limit"] for each in summary.verdict["rows"])
        return f"There was no champion to compare with; {'only the limits applied' if limited else NO_LIMITS}."
    if champion(summary) is None:
        return "The champion could not be scored under these conditions; the reasons are above."
    return "Both were sampled with the same seeds and scored with the same reference and extractor."
