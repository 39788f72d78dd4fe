"""Lineage of a model: version, run, commit, uncommitted changes, data, parameters, weights, scores."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.redact import redact_text
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.registry.download import download, resolve
from ddpm.registry.evidence import JUDGED_TAG, REASONS_TAG, VERDICT_TAG
from ddpm.registry.versions import WEIGHTS_TAG, RegistryError, Version, status
from ddpm.tracking import LINEAGE_TAGS, MACHINE_TAGS, run_tags, store
from ddpm.tracking.sync import DIGEST_TAG, PATCHES

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Lineage:
    """Lineage of one model. tags: those of its run; version: None if the run was not registered."""

    run_id: str
    tags: Mapping[str, str]
    version: Version | None = None
    scores: ScoreRecord = field(default_factory=ScoreRecord)

    @property
    def conflicts(self) -> list[str]:
        """Lineage tags whose values differ between the version and its run."""
        there = self.version.tags if self.version else {}
        return [key for key in (*LINEAGE_TAGS, WEIGHTS_TAG) if self.tags.get(key, "") != there.get(key, "") and
                key in self.tags and key in there]  # fmt: skip

    def tag(self, name: str) -> str:
        """Return a tag's value by its name without the prefix (`git_sha`); `not recorded` if it is missing."""
        key = f"ddpm.{name}"
        return self.tags.get(key) or (self.version.tags.get(key) if self.version else None) or NOT_RECORDED

    @property
    def verdict(self) -> dict[str, str]:
        """The gate's verdict, its reasons, and the artifact path of its evidence; empty if the gate has not judged."""
        there = self.version.tags if self.version else {}
        names = {"verdict": VERDICT_TAG, "reasons": REASONS_TAG, "evidence": JUDGED_TAG}
        return {name: there[tag] for name, tag in names.items() if tag in there}

    def as_json(self) -> dict[str, Any]:
        """Return all links in order, as a JSON object."""
        return {
            "version": f"models:/{self.version.name}/{self.version.number}" if self.version else None,
            "aliases": list(self.version.aliases) if self.version else [],
            "run": self.run_id,
            "training": self.tags.get(DIGEST_TAG, NOT_RECORDED),
            "commit": self.tag("git_sha"),
            "patch": self.tag("patch") if self.tag("git_dirty") == "true" else "none",
            "kept": self.tag("commit"),
            "code": self.tag("code_hash"),
            "data": self.tag("data_hash"),
            "params": self.tag("params_hash"),
            "lock": self.tag("lock_hash"),
            "machine": {key.removeprefix("ddpm."): self.tag(key.removeprefix("ddpm.")) for key in MACHINE_TAGS},
            "classes": self.version.classes if self.version else [],
            "weights": self.tag("weights"),
            "scores": dict(self.scores.source),
            "verdict": self.verdict,
            "conflicts": self.conflicts,
        }


def trace(address: str) -> Lineage:
    """Look up the lineage of `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or a run id.

    Raises RegistryError for an unknown address.
    """
    if not address.startswith("models:/"):
        return _of_run(address)
    found = resolve(address)
    return Lineage(found.run_id, run_tags(found.run_id), found, found.scores)


def patch_of(lineage: Lineage) -> bytes:
    """Download the uncommitted changes of a run; empty for a clean tree. Raises RegistryError: missing or damaged."""
    if lineage.tag("git_dirty") == "false" or (lineage.tag("git_dirty") == "none" and lineage.tag("patch") == "none"):
        return b""
    expected = lineage.tag("patch")
    if expected == "none":
        return b""  # only files that a patch never includes differ: secrets, and files that the run itself wrote
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise RegistryError(
            f"run {lineage.run_id} was trained with uncommitted changes, and they are {expected.rstrip('.')}. "
            "It cannot be rebuilt."
        )
    from mlflow.exceptions import MlflowException

    try:
        local = store.client().download_artifacts(lineage.run_id, f"{PATCHES}/{expected}.patch")
        content = Path(local).read_bytes()
    except (MlflowException, OSError) as error:
        raise RegistryError(f"the patch of run {lineage.run_id} is missing from its artifacts: {error}") from error
    if files.sha256_bytes(content) != expected:
        raise RegistryError(f"the patch of run {lineage.run_id} does not have its recorded SHA-256: {expected}")
    return content


def parameters_of(run_id: str) -> dict[str, str]:
    """Return the parameters of a run by key (`train.lr`), as text; empty if it does not exist."""
    run = store.existing_run(store.client(), run_id)
    return {} if run is None else dict(run.data.params)


def checkpoint_of(lineage: Lineage) -> Path | None:
    """Download the registered checkpoint, hash checked; None for a run without a version."""
    return download(f"models:/{lineage.version.name}/{lineage.version.number}") if lineage.version else None


def _of_run(run_id: str) -> Lineage:
    run = store.existing_run(store.client(), run_id)
    if run is None:
        raise RegistryError(
            f"{run_id} is neither a model nor a run at {redact_text(store.tracking_uri())}. "
            "Give models:/NAME@ALIAS, models:/NAME/VERSION or the id of a run."
        )
    tags = dict(run.data.tags)
    found = store.client().search_model_versions(f"run_id = '{run_id}'")
    if not found:
        return Lineage(run_id, tags)
    newest = max(found, key=lambda each: int(each.version))
    known = next(each for each in status(newest.name).versions if each.number == int(newest.version))
    return Lineage(run_id, tags, known, known.scores)
