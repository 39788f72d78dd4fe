"""Versions of a registered model: registration (once per content) and listing."""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.common import files
from ddpm.evaluation import score_record
from ddpm.evaluation.score_record import ScoreRecord
from ddpm.registry import embedded
from ddpm.registry.lock import Held, RegistryLock, file_lock
from ddpm.sampling import options
from ddpm.serving import pack
from ddpm.tracking import LINEAGE_TAGS, store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CONTENT_TAG, CODE_TAG, WEIGHTS_TAG, EVIDENCE_TAG = "ddpm.content", "ddpm.code", "ddpm.weights", "ddpm.evidence"
VERIFIED_TAG, FAILED_TAG = "ddpm.verified", "ddpm.failed"
CLASSES_TAG = "ddpm.classes"
SAMPLING_TAG, WITHDRAWN_TAG = "ddpm.sampling", "ddpm.withdrawn"
MAX_TAG_LENGTH = 90_000


class RegistryError(ValueError):
    """A request that the registry cannot fulfil; the message names the reason and the remedy."""


@dataclass(frozen=True)
class Version:
    """One registered version."""

    name: str
    number: int
    created: datetime
    run_id: str
    source: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def content(self) -> str:
        """SHA-256 of weights and config; empty for a version that another program registered."""
        return self.tags.get(CONTENT_TAG, "")

    @property
    def classes(self) -> list[str]:
        """Class names by index; empty if none were recorded."""
        found: list[str] = json.loads(self.tags.get(CLASSES_TAG, "[]"))
        return found

    @property
    def evidence(self) -> dict[str, Any]:
        """Evaluation (metrics.json) as of its registration."""
        return self.json_tag(EVIDENCE_TAG)

    def json_tag(self, tag: str) -> dict[str, Any]:
        """Parse a tag as a JSON object, empty if missing. Raises RegistryError for an altered tag."""
        with contextlib.suppress(ValueError):
            found = json.loads(self.tags.get(tag, "{}"))
            if isinstance(found, dict):
                return found
        raise RegistryError(
            f"the tag {tag} of version {self.number} of {self.name} was altered by another program. Restore it or "
            "delete it on MLflow's page."
        )

    @property
    def scores(self) -> ScoreRecord:
        """Scores of that evaluation."""
        return ScoreRecord.from_json(self.evidence)

    @property
    def sampling(self) -> dict[str, Any]:
        """Sampling settings of its evaluation, the defaults for sampling; empty for older versions."""
        return options.settings(self.json_tag(SAMPLING_TAG) or self.evidence.get("conditions", {}))

    @property
    def verified(self) -> bool:
        """True once it was loaded and sampled in a clean process."""
        return VERIFIED_TAG in self.tags


@dataclass(frozen=True)
class Status:
    """A registered model: versions by alias, and all versions, newest first."""

    name: str
    aliases: Mapping[str, int] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()

    @property
    def champion(self) -> Version | None:
        """The version in use."""
        return self._of("champion")

    @property
    def candidate(self) -> Version | None:
        """The version registered last."""
        return self._of("candidate")

    def _of(self, alias: str) -> Version | None:
        return next((each for each in self.versions if alias in each.aliases), None)


def status(name: str) -> Status:
    """Return aliases and versions; empty for a name that does not exist yet."""
    if store.embedded() and (stored := embedded.read(store.database(), name)):
        return Status(name, stored[0], tuple(_version(name, stored[0], *row) for row in stored[1]))
    connection = store.client()
    aliases = _aliases(connection, name)
    found = connection.search_model_versions(f"name = '{name}'", max_results=1000) if aliases is not None else []
    versions = tuple(sorted((_to_version(each, aliases or {}) for each in found), key=lambda each: -each.number))
    return Status(name, aliases or {}, versions)


def version(name: str, number: int) -> Version:
    """Return one version. Raises RegistryError if it does not exist."""
    from mlflow.exceptions import MlflowException

    connection = store.client()
    try:
        found = connection.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        numbers = [each.number for each in status(name).versions]
        known = f"it has {', '.join(map(str, numbers))}" if numbers else "it has none yet; `make run` registers one"
        raise RegistryError(f"{name} has no version {number}; {known}") from error
    return _to_version(found, _aliases(connection, name) or {})


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
        if _aliases(connection, name) is None:
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
        if (_aliases(connection, name) or {}).get("candidate") != number:
            held.require()
            connection.set_registered_model_alias(name, "candidate", str(number))
    return number


def annotate(name: str, number: int, tags: Mapping[str, str]) -> None:
    """Set tags on a version."""
    for key, value in tags.items():
        store.client().set_model_version_tag(name, str(number), key, value)


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
        for each in sorted((_to_version(one, {}) for one in found), key=lambda one: one.number)
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


def _aliases(connection: "MlflowClient", name: str) -> dict[str, int] | None:
    """Return versions by alias; None if the model does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        found = connection.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return {alias: int(number) for alias, number in found.aliases.items()}


def _to_version(found: "ModelVersion", aliases: Mapping[str, int]) -> Version:
    tags = dict(found.tags)
    return _version(found.name, aliases, int(found.version), found.creation_timestamp, found.run_id, found.source, tags)


def _version(
    name: str,
    aliases: Mapping[str, int],
    number: int,
    milliseconds: int,
    run_id: str | None,
    source: str | None,
    tags: Mapping[str, str],
) -> Version:
    return Version(
        name=name,
        number=number,
        created=datetime.fromtimestamp(milliseconds / 1000, UTC),
        run_id=run_id or "",
        source=source or "",
        aliases=tuple(sorted(alias for alias, there in aliases.items() if there == number)),
        tags=tags,
    )
