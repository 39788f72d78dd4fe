"""Versions of a registered model: their tags, scores and aliases."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ddpm.evaluation.score_record import ScoreRecord
from ddpm.registry import embedded
from ddpm.sampling import options
from ddpm.tracking import store

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
    aliases = aliases_of(connection, name)
    found = connection.search_model_versions(f"name = '{name}'", max_results=1000) if aliases is not None else []
    versions = tuple(sorted((to_version(each, aliases or {}) for each in found), key=lambda each: -each.number))
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
    return to_version(found, aliases_of(connection, name) or {})


def annotate(name: str, number: int, tags: Mapping[str, str]) -> None:
    """Set tags on a version."""
    for key, value in tags.items():
        store.client().set_model_version_tag(name, str(number), key, value)


def aliases_of(connection: "MlflowClient", name: str) -> dict[str, int] | None:
    """Return versions by alias; None if the model does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        found = connection.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return {alias: int(number) for alias, number in found.aliases.items()}


def to_version(found: "ModelVersion", aliases: Mapping[str, int]) -> Version:
    """Convert a version of MLflow. aliases: version by alias."""
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
