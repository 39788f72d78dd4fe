"""The report task: save the facts that only the flow knows, write the page, and add it to the MLflow run."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from prefect import task
from prefect.cache_policies import NO_CACHE

from ddpm.common import files
from ddpm.config import params
from ddpm.report import page, run_summary
from ddpm.report.run_summary import RunSummary, Tone
from ddpm.runtime.hardware import gpu_present
from flows import prefect_page
from flows.dvc import StageResult, StageRun
from flows.summary import PipelineResult, heading
from flows.tasks.outcome import finish

LOCK = Path("dvc.lock")
TONES: dict[str, Tone] = {"green": "good", "cyan": "good", "yellow": "plain", "red": "bad"}


@task(name="report", task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
def write_page(result: PipelineResult) -> Any:
    """Save the facts, write the page, and add it to the run."""
    from ddpm import tracking

    run_id = result.registered.run_id
    runs = {f"MLflow run {run_id}": tracking.run_page(run_id), **prefect_page.current()}
    machine = {key: value for key, value in tracking.run_tags(run_id).items() if key in tracking.MACHINE_TAGS}
    run_summary.write(collect(result, tracking.lineage(), machine, runs))
    page.make(run_summary.read())
    tracking.add_artifacts(run_id, [page.PAGE])
    text = f"{page.PAGE}, and in MLflow run {run_id}"
    return finish("report", "Completed", text)


def collect(
    result: PipelineResult,
    lineage: Mapping[str, str],
    machine: Mapping[str, str] | None = None,
    runs: Mapping[str, str] | None = None,
) -> RunSummary:
    """Collect the facts of this run for the page. machine, runs: as in RunSummary."""
    style, words = heading(result.verdict)
    made = result.registered
    return RunSummary(
        scores_sha256=files.sha256_file(page.METRICS),
        heading=words,
        tone=TONES[style],
        verdict=result.verdict.as_json(),
        registered={
            "name": made.name, "version": made.version, "aliases": list(made.aliases), "champion": made.champion,
            "run_id": made.run_id,
        },
        champion=result.champion,
        stages=stages(result.stages),
        seconds=result.seconds,
        lineage=dict(lineage),
        hardware=hardware(),
        judged=result.judged,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=dict(machine or {}),
        runs=dict(runs or {}),
    )  # fmt: skip


def stages(runs: Sequence[StageRun]) -> list[dict[str, Any]]:
    """The result and cost of each stage in this run, and the cost of its files from the run that made them."""
    locked = params.read_yaml(LOCK).get("stages", {}) if LOCK.exists() else {}
    before = {each["stage"]: each for each in _previous_stages()}
    found = []
    for each in runs:
        lock = files.sha256_json(locked.get(each.stage))
        old = before.get(each.stage, {})
        took = {"seconds": each.seconds, "cpu_seconds": each.cpu_seconds, "gpu_seconds": each.gpu_seconds}
        made = old.get("made") if old.get("lock") == lock else None
        if each.result is StageResult.RAN:
            made = took
        found.append({"stage": each.stage, "did": str(each.result), **took, "made": made, "lock": lock})
    return found


def hardware() -> str:
    """A short description of this machine, to put the cost in context."""
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return f"{cores} CPU core{'s' if cores > 1 else ''}" + (" and a GPU" if gpu_present() else "")


def _previous_stages() -> list[dict[str, Any]]:
    """The stages of the previous run; none if its facts are unreadable, because this run replaces them."""
    try:
        previous = run_summary.read()
    except ValueError:
        return []
    return [dict(each) for each in previous.stages] if previous else []
