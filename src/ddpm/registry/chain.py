"""Where a model comes from, link by link: version, run, commit, changes, data, parameters, weights, scores."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.common.redact import shown
from ddpm.registry.evidence import JUDGED_TAG, REASONS_TAG, VERDICT_TAG
from ddpm.registry.fetch import download, resolve
from ddpm.registry.versions import WEIGHTS_TAG, RegistryError, Version, status, version
from ddpm.tracking import LINEAGE_TAGS, MACHINE_TAGS, store
from ddpm.tracking.sync import DIGEST_TAG, PATCHES

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Chain:
    """What is known of one model. version: None for a run that was not registered; tags: of its run."""

    run_id: str
    tags: Mapping[str, str]
    version: Version | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)

    @property
    def conflicts(self) -> list[str]:
        """Tags of origin that the version and its run give different values."""
        there = self.version.tags if self.version else {}
        return [key for key in (*LINEAGE_TAGS, WEIGHTS_TAG) if self.tags.get(key, "") != there.get(key, "") and
                key in self.tags and key in there]  # fmt: skip

    def tag(self, name: str) -> str:
        """A fact by the end of its tag's name (`git_sha`); `not recorded` for what an older program left out."""
        key = f"ddpm.{name}"
        return self.tags.get(key) or (self.version.tags.get(key) if self.version else None) or NOT_RECORDED

    @property
    def verdict(self) -> dict[str, str]:
        """What the gate said, why, and where its evidence is among the run's artifacts; empty where it said nothing."""
        there = self.version.tags if self.version else {}
        names = {"verdict": VERDICT_TAG, "reasons": REASONS_TAG, "evidence": JUDGED_TAG}
        return {name: there[tag] for name, tag in names.items() if tag in there}

    def links(self) -> dict[str, Any]:
        """The chain in its order, for JSON."""
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
            "scores": dict(self.scores),
            "verdict": self.verdict,
            "conflicts": self.conflicts,
        }


def trace(address: str, name: str = "") -> Chain:
    """The chain behind `models:/NAME@ALIAS`, `models:/NAME/VERSION`, a version of `name`, or a run's id.

    Raises RegistryError.
    """
    if address.startswith("models:/"):
        found = resolve(address)
    elif re.fullmatch(r"\d{1,9}", address):
        found = version(name, int(address))
    else:
        return _of_run(address)
    return Chain(found.run_id, _run_tags(found.run_id) or {}, found, found.evidence)


def patch_of(chain: Chain) -> bytes:
    """The changes that a run was trained with; empty for a clean tree. Raises RegistryError: not kept, or damaged."""
    if chain.tag("git_dirty") == "false" or (chain.tag("git_dirty") == "none" and chain.tag("patch") == "none"):
        return b""
    expected = chain.tag("patch")
    if expected == "none":
        return b""  # what differs is never taken: a file of secrets, or one that only this run wrote
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise RegistryError(
            f"run {chain.run_id} was trained with changes that no commit has, and they are {expected.rstrip('.')}. "
            "It cannot be rebuilt."
        )
    from mlflow.exceptions import MlflowException

    try:
        local = store.client().download_artifacts(chain.run_id, f"{PATCHES}/{expected}.patch")
        content = Path(local).read_bytes()
    except (MlflowException, OSError) as error:
        raise RegistryError(f"the patch of run {chain.run_id} is missing from its artifacts: {error}") from error
    if files.sha256_bytes(content) != expected:
        raise RegistryError(f"the patch of run {chain.run_id} does not have the SHA-256 that was recorded: {expected}")
    return content


def checkpoint_of(chain: Chain) -> Path | None:
    """The registered checkpoint, its hash checked; None for a run without a version."""
    return download(f"models:/{chain.version.name}/{chain.version.number}") if chain.version else None


def _of_run(run_id: str) -> Chain:
    tags = _run_tags(run_id)
    if tags is None:
        raise RegistryError(
            f"{run_id} is neither a model nor a run at {shown(store.tracking_uri())}. "
            "Give models:/NAME@ALIAS, models:/NAME/VERSION or the id of a run."
        )
    found = store.client().search_model_versions(f"run_id = '{run_id}'")
    if not found:
        return Chain(run_id, tags)
    newest = max(found, key=lambda each: int(each.version))
    known = next(each for each in status(newest.name).versions if each.number == int(newest.version))
    return Chain(run_id, tags, known, known.evidence)


def _run_tags(run_id: str) -> dict[str, str] | None:
    """None when there is no such run (any more)."""
    from mlflow.exceptions import MlflowException

    try:
        return dict(store.client().get_run(run_id).data.tags)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise
