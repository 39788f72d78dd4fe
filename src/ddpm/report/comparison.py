"""The gate's comparison of candidate and champion, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass

from ddpm.evaluation.gate import NO_LIMITS
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.report.run_summary import RunSummary
from ddpm.report.scores import text


@dataclass(frozen=True)
class ComparisonRow:
    """A score of both, the change relative to the champion's, the limit, and yes or no if it is met ("" without)."""

    name: str
    candidate: str
    champion: str
    change: str
    limit: str
    kept: str


@dataclass(frozen=True)
class Comparison:
    """Note, headings and rows of the comparison. champion: its heading; "" without one."""

    introduction: str
    candidate: str
    champion: str
    rows: Sequence[ComparisonRow]


def same(summary: RunSummary) -> bool:
    """Return True if the candidate has the champion's own weights."""
    return bool(summary.verdict["verdict"] == "unchanged")


def compare(summary: RunSummary) -> Comparison:
    """Format the gate's table."""
    compared = summary.champion is not None and not same(summary)
    rows = [_row(each, compared=compared) for each in summary.verdict["rows"]]
    return Comparison(
        _introduction(summary), f"Version {summary.registered['version']}", "Champion" if compared else "", rows
    )


def _introduction(summary: RunSummary) -> str:
    made = summary.registered
    if same(summary):
        return f"Version {made['version']} is the champion itself, so there is nothing to compare it with."
    if summary.champion is None:
        limited = any(each["limit"] for each in summary.verdict["rows"])
        return f"There was no champion to compare with; {'only the limits applied' if limited else NO_LIMITS}."
    if ScoreRecord.from_json(summary.champion).fid is None:
        return "The champion could not be scored under these conditions; the reasons are above."
    return "Both were sampled with the same seeds and scored with the same reference and extractor."


def _row(each: dict[str, object], *, compared: bool) -> ComparisonRow:
    ours, theirs = each["candidate"], each["champion"] if compared else None
    change = ""
    if isinstance(ours, int | float) and isinstance(theirs, int | float) and theirs:
        change = f"{(ours - theirs) / abs(theirs):+.1%}"
    kept = {True: "yes", False: "no"}.get(each["ok"], "") if isinstance(each["ok"], bool) else ""
    name = str(each["name"])
    return ComparisonRow(name[:1].upper() + name[1:], text(ours), text(theirs), change, str(each["limit"]), kept)
