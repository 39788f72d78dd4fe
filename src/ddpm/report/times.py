"""Run time and cost by stage: wall-clock, processor and GPU time."""

from collections.abc import Sequence
from dataclasses import dataclass

from ddpm.common.units import duration
from ddpm.report.run_summary import RunSummary


@dataclass(frozen=True)
class StageRow:
    """A stage: outcome and duration in this run, and cost of its current files when they were made."""

    stage: str
    did: str
    now: str
    took: str
    cpu: str
    gpu: str


@dataclass(frozen=True)
class Times:
    """Rows, total cost of the current files, and a note. gpu: True if any stage held a GPU."""

    rows: Sequence[StageRow]
    total: StageRow
    note: str
    gpu: bool


def describe(summary: RunSummary) -> Times:
    """Format the times; unknown ones are dashes."""
    made = [each["made"] for each in summary.stages if each["made"]]
    sums = {key: sum(each[key] for each in made) for key in ("seconds", "cpu_seconds", "gpu_seconds")}
    rows = [
        StageRow(each["stage"], str(each["did"]).lower(), duration(each["seconds"]), *_took(each["made"]))
        for each in summary.stages
    ]
    total = StageRow("all stages", "", duration(sum(each["seconds"] for each in summary.stages)), *_took(sums))
    after = summary.seconds - sum(each["seconds"] for each in summary.stages)
    note = (
        f"This run took {duration(summary.seconds)}, {duration(max(after, 0))} of it after the stages (record, "
        f"registration, the champion's scores, verdict), on {summary.hardware}."
    )
    return Times(rows, total, note, gpu=sums["gpu_seconds"] > 0)


def _took(made: dict[str, float] | None) -> tuple[str, str, str]:
    if not made:
        return "–", "–", "–"
    return duration(made["seconds"]), duration(made["cpu_seconds"]), duration(made["gpu_seconds"])
