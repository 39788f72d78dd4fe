"""Data drift: compare the prepared data with the champion's, after `prepare` and before training.

`ddpm run` reports the drift and continues. A scheduled run fails beyond flow.max_drift, so that somebody can inspect
the data.
"""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from ddpm.common import files
from ddpm.config import params
from ddpm.provenance import fingerprint
from flows import processes
from flows.console import reporter
from flows.tasks.outcome import finish

if TYPE_CHECKING:
    from ddpm.registry import Version

AFTER = "prepare"
"""The stage that the comparison follows."""
PREPARED = Path("out/prepare")
RESULTS = Path(".state/drift")


class DriftError(RuntimeError):
    """The data differ from the champion's by more than a scheduled run may accept."""


def check_drift(settings: params.Params, stop: bool) -> dict[str, Any] | None:
    """Run `compare`; None if there is nothing to compare with. stop: raise DriftError beyond flow.max_drift."""
    result: dict[str, Any] | None = compare(settings, stop, return_state=True).result()
    return result


@task(name="drift", task_run_name="drift", cache_policy=NO_CACHE, persist_result=False)
def compare(settings: params.Params, stop: bool) -> Any:
    """Compare out/prepare with the champion's data; the result is stored under the hash of the prepared images."""
    from ddpm import registry, tracking

    data = files.read_json(PREPARED / "profile.json")["data_sha256"]
    target = RESULTS / f"{data}.json"
    try:
        champion = registry.status(settings.promote.name).champion
        before = tracking.prepared_sha256(champion.run_id) if champion else None
    except tracking.TrackingUnavailableError as error:
        # Nothing is promoted without the record, and the run that reaches it again compares before training.
        return finish("drift", "Skipped", f"not compared with the champion's data: {error}")
    if champion is None:
        return finish("drift", "Skipped", "no champion yet, so no data to compare with")
    if before is None:
        return finish("drift", "Skipped", f"champion version {champion.number} has no profile of its data on record")
    limit = settings.flow.max_drift
    about = {"version": champion.number, "data_sha256": before}
    if before == data:
        found = {"champion": about, **unchanged(data, limit)}
        files.write_json(target, found)
        return finish("drift", "Cached", found["words"], found)
    made_of = files.sha256_json([champion.run_id, about, data, limit, fingerprint.code_digest("drift")])
    outcome = files.read_json(target) if target.exists() else {}
    result = "Cached" if outcome.get("made_of") == made_of else "Completed"
    if result == "Completed":
        outcome = {"champion": about, **measure(champion, settings.flow.time_limit), "made_of": made_of}
        files.write_json(target, outcome)
    if stop and outcome["verdict"] == "beyond":
        raise DriftError(refusal(outcome, target))
    return finish("drift", result, outcome["words"], outcome)


def measure(champion: "Version", limit: float) -> dict[str, Any]:
    """Compare with the record of the champion's run, in a separate process, because features need torch."""
    from ddpm import tracking

    with tempfile.TemporaryDirectory() as temporary:
        record, target = Path(temporary) / "record", Path(temporary) / "found.json"
        record.mkdir()
        tracking.download_data_record(champion.run_id, record)
        done = processes.run(
            processes.module_command("ddpm.stages.drift", str(record), str(target)),
            reporter.logger("drift", get_run_logger()),
            limit=limit,
            environment=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        if done.timed_out or done.code:
            last = "\n".join(done.lines[-12:])
            raise RuntimeError(f"the data could not be compared with those of version {champion.number}:\n{last}")
        found: dict[str, Any] = files.read_json(target)
    return found


def unchanged(data: str, limit: float | None) -> dict[str, Any]:
    """The result for images identical to the champion's, without a comparison."""
    statistics = files.read_json(PREPARED / "statistics.json")
    copies = statistics["duplicates"]["exact"]
    counts = {name: sum(shares.values()) for name, shares in statistics["classes"].items()}
    return {
        "data_sha256": data,
        "tests": [],
        "images": {"new": 0, "removed": 0, "duplicates": copies, "kept": statistics["count"] - copies},
        "classes": {name: [count, count] for name, count in counts.items()},
        "feature_distance": None,
        "notes": [],
        "drift": 0.0,
        "limit": limit,
        "verdict": "none",
        "words": "the prepared images are the champion's",
    }


def refusal(found: dict[str, Any], target: Path) -> str:
    """The message of a scheduled run that fails because of drift, with the remedy."""
    return (
        f"the data have changed by more than a scheduled run accepts: {found['words']}.\n"
        f"Look at {PREPARED / 'contact.png'} and {target}. To train on these data: `ddpm run`, or "
        "`ddpm retrain --accept-drift`. To let such changes pass: raise flow.max_drift."
    )
