"""Registration of a checkpoint as a version, once per content."""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.common import files
from ddpm.evaluation import score_record
from ddpm.registry.lock import Held, RegistryLock, file_lock
from ddpm.registry.versions import (
    CLASSES_TAG,
    CODE_TAG,
    CONTENT_TAG,
    EVIDENCE_TAG,
    FAILED_TAG,
    MAX_TAG_LENGTH,
    SAMPLING_TAG,
    WEIGHTS_TAG,
    WITHDRAWN_TAG,
    RegistryError,
    Version,
    aliases_of,
    annotate,
    to_version,
)
from ddpm.sampling import options
from ddpm.serving import pack
from ddpm.tracking import LINEAGE_TAGS, store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def register(
    model_folder: Path,
    name: str,
    run_id: str,
    evidence: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    lock: RegistryLock = file_lock,
) -> int:
    """Register a checkpoint under `name` as an artifact of the run, make it the candidate, and return its version.

    Idempotent by content: equal weights, config and sampling settings keep their version and its lineage tags; only
    the evidence is updated. A version that failed verification is registered anew once the packed code has changed.
    Raises FileNotFoundError for a missing checkpoint, RegistryError for evidence too long for a tag.
    """
    from mlflow.exceptions import MlflowException

    connection = store.client()
    text = json.dumps(evidence or {}, allow_nan=False)
    own = options.settings((evidence or {}).get("conditions", {}))
    if len(text) > MAX_TAG_LENGTH:
        raise RegistryError(f"the evidence for {name} has {len(text):,} characters; MLflow keeps {MAX_TAG_LENGTH:,}")
    weights = files.sha256_file(model_folder / pack.WEIGHTS)
    all_tags = {**(tags or {}), WEIGHTS_TAG: weights, EVIDENCE_TAG: text}
    if own:
        all_tags[SAMPLING_TAG] = json.dumps(own, sort_keys=True)
    with lock(name) as held:
        if aliases_of(connection, name) is None:
            with contextlib.suppress(MlflowException):  # created by another machine; any other error recurs below
                connection.create_registered_model(name)
        alike = _same_content(connection, name, pack.content_sha256(model_folder))
        same = next((each for each in alike if not own or each.sampling == own), None)
        if same:
            number = same.number
            held.require()
            annotate(name, number, {EVIDENCE_TAG: text} if same.tags.get(EVIDENCE_TAG) != text else {})
        else:
            # Withdrawn weights stay withdrawn under other sampling settings.
            all_tags |= {tag: each.tags[tag] for each in alike for tag in (WITHDRAWN_TAG,) if tag in each.tags}
            number = _create_version(connection, model_folder, name, run_id, all_tags, held)
        _describe(connection, name, number, score_record.description(evidence or {}))
        if (aliases_of(connection, name) or {}).get("candidate") != number:
            held.require()
            connection.set_registered_model_alias(name, "candidate", str(number))
    return number


def _describe(connection: "MlflowClient", name: str, number: int, text: str) -> None:
    """Describe the version on MLflow's page by FID and its extractor, unless a user has written a description."""
    known = connection.get_model_version(name, str(number)).description or ""
    if text not in ("", known) and (not known or known.startswith("FID (")):
        connection.update_model_version(name, str(number), text)


def _same_content(connection: "MlflowClient", name: str, content: str) -> list[Version]:
    """List versions of this content, oldest first, except failed ones whose packed code has since changed."""
    found = connection.search_model_versions(f"name = '{name}' and tags.`{CONTENT_TAG}` = '{content}'")
    return [
        each
        for each in sorted((to_version(one, {}) for one in found), key=lambda one: one.number)
        if FAILED_TAG not in each.tags or each.tags.get(CODE_TAG) == pack.code_sha256()
    ]


def _create_version(
    connection: "MlflowClient", model_folder: Path, name: str, run_id: str, tags: Mapping[str, str], held: Held
) -> int:
    """Pack the checkpoint, log it to the run, and create the version."""
    content, code = pack.content_sha256(model_folder), pack.code_sha256()
    path = f"models/{content[:12]}-{files.sha256_json([code, tags.get(SAMPLING_TAG, '')])[:6]}"
    with tempfile.TemporaryDirectory() as temporary:
        packed = Path(temporary) / "model"
        pack.pack(model_folder, packed, json.loads(tags[EVIDENCE_TAG]).get("conditions", {}))
        connection.log_artifacts(run_id, str(packed), path)
    run = connection.get_run(run_id)
    made_from = {key: run.data.tags[key] for key in LINEAGE_TAGS if key in run.data.tags}  # as of training
    if made_from:
        tags = {key: value for key, value in tags.items() if key not in LINEAGE_TAGS}
    source = f"{run.info.artifact_uri}/{path}"
    new = {**tags, **made_from, **_class_tag(model_folder), CONTENT_TAG: content, CODE_TAG: code}
    held.require()
    with store.once():
        return int(connection.create_model_version(name, source, run_id, tags=new).version)


def _class_tag(model_folder: Path) -> dict[str, str]:
    """Return the class names as a tag; empty for an unlabelled model or names too long for a tag."""
    names = pack.read_config(model_folder)["image"]["classes"]
    text = json.dumps(names, ensure_ascii=False)
    return {CLASSES_TAG: text} if names and len(text) <= MAX_TAG_LENGTH else {}
