"""Lineage of the model for the report: all hashes, and commands to reproduce and use it."""

import shlex
from collections.abc import Mapping
from typing import Any

from ddpm.report.run_summary import RunSummary

CODE = {
    "ddpm.git_sha": "commit of the code",
    "ddpm.no_commit": "why there is no commit",
    "ddpm.git_dirty": "files that differ from the commit",
    "ddpm.data_hash": "data (data.dvc)",
    "ddpm.params_hash": "params.yaml SHA-256",
    "ddpm.lock_hash": "requirements.lock SHA-256",
}
CONDITIONS = {
    "weights_sha256": "weights SHA-256",
    "guide_sha256": "guide's weights SHA-256",
    "extractor_sha256": "extractor SHA-256",
    "reference_sha256": "reference SHA-256",
}


def rows(
    conditions: Mapping[str, Any], statistics: Mapping[str, Any], digest: str, summary: RunSummary | None
) -> dict[str, str]:
    """Return values by name, without unknown ones. conditions: those of the scores."""
    found = {
        "prepared images": f"{statistics['count']:,}: {statistics['train']:,} for training, "
        f"{statistics['heldout']:,} held out",
        "prepared images SHA-256": statistics["sha256"],
        "training digest": digest,
    }
    found |= {words: str(conditions[key]) for key, words in CONDITIONS.items() if conditions.get(key)}
    if summary is None:
        return found
    made = summary.registered
    version = {"registered version": f"models:/{made['name']}/{made['version']}", "MLflow run": str(made["run_id"])}
    dirty = {"true": "yes", "false": "no"}
    code = {words: summary.lineage[key] for key, words in CODE.items() if key in summary.lineage}
    code = {words: dirty.get(value, value) for words, value in code.items()}
    return version | code | found


def commands(summary: RunSummary | None) -> list[tuple[str, str]]:
    """List (purpose, command) to reproduce and use the model."""
    again = ("Reproduce it bit for bit", "dvc repro")
    if summary is None:
        return [again, ("Judge, register and promote it", "make run")]
    made = summary.registered
    sha = summary.lineage.get("ddpm.git_sha", "none")
    if sha != "none":
        again = ("Reproduce it bit for bit", f"git checkout {sha} && make run")
    model = shlex.quote(f"models:/{made['name']}/{made['version']}")
    return [
        again,
        ("Sample from it", f"ddpm sample --model {model}"),
        ("List versions and changes of the champion", "ddpm status; ddpm history"),
        ("Judge the images blind", "ddpm review"),
    ]


def caveat(summary: RunSummary | None) -> str:
    """Return the reason why the commands would not reproduce the model; empty if they would."""
    if summary is not None and summary.lineage.get("ddpm.git_dirty") == "true":
        return (
            "Files differed from the commit when this model was made, so the commit alone does not reproduce it. For "
            "a reproducible model, commit first, then make run."
        )
    return ""
