"""Download of a registered version's checkpoint, with its hash checked."""

import difflib
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ddpm.common import files, validation
from ddpm.common.redact import redact_text
from ddpm.registry.versions import CONTENT_TAG, RegistryError, Status, Version, status, version
from ddpm.serving import pack
from ddpm.tracking import store

LONGEST_NUMBER = 10
CACHE = Path(".state/models")
FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, or a checkpoint folder such as out/train/model"
NEAREST = 3


def address(model: str, name: str = "") -> str:
    """Expand a version number to `models:/NAME/VERSION`, by default of promote.name; return anything else unchanged."""
    from ddpm.config import params

    number = model.isdecimal() and len(model) < LONGEST_NUMBER  # the id of a run may have digits only
    return f"models:/{name or params.model_name()}/{model}" if number else model


def download(uri: str) -> Path:
    """Return the checkpoint folder of `models:/NAME@ALIAS`, `models:/NAME/VERSION` or a local folder.

    Raises RegistryError for an unknown address, or weights and config that differ from those registered.
    """
    return download_with_settings(uri)[0]


def download_with_settings(uri: str) -> tuple[Path, dict[str, Any] | None]:
    """Download like `download`; also return the sampling settings of the version, None for a checkpoint folder."""
    if not uri.startswith("models:/"):
        folder = Path(uri)
        if pack.is_packed(folder):
            return folder / pack.CHECKPOINT, pack.settings(folder)
        if not (folder / pack.CONFIG).is_file():
            raise RegistryError(f"{uri} is not a model. Give {FORMS}.")
        return folder, None
    found = resolve(uri)
    if not found.content:
        raise RegistryError(f"{uri} was not registered by this program: it has no tag {CONTENT_TAG}")
    cached = CACHE / validation.sha256(found.content, f"the tag {CONTENT_TAG} of {uri}", RegistryError)
    if not cached.is_dir():
        import mlflow.artifacts

        with files.fresh_folder(cached) as new:
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"{found.source}/artifacts/checkpoint",
                dst_path=str(new),
                tracking_uri=store.tracking_uri(),
            )
            for name in pack.PACKED_FILES:  # ignore any other file
                part = new / "checkpoint" / name
                if part.is_file() and not part.is_symlink():
                    os.replace(part, new / name)
            shutil.rmtree(new / "checkpoint", ignore_errors=True)
            _check(new, found, uri)  # before it enters the cache
    _check(cached, found, uri)
    return cached, found.sampling


def _check(folder: Path, found: Version, uri: str) -> None:
    if pack.content_sha256(folder) != found.content:
        raise RegistryError(f"{uri}: its weights or config differ from those registered. Do not use it.")


def require_files(name: str, number: int) -> None:
    """Check that the artifact store has the files of a version. Raises RegistryError for missing ones."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    source = version(name, number).source
    repository: Any = get_artifact_repository(source, tracking_uri=store.tracking_uri())
    try:
        there = {Path(each.path).name for each in repository.list_artifacts("artifacts/checkpoint")}
    except (MlflowException, OSError) as error:
        raise RegistryError(f"the files of {name} version {number} cannot be listed: {error}") from error
    if missing := sorted(set(pack.PACKED_FILES) - there):
        raise RegistryError(
            f"files of {name} version {number} are missing: {', '.join(missing)} at {redact_text(source)}. Restore "
            "them from a backup, or make another version the champion: ddpm rollback, ddpm promote VERSION"
        )


def resolve(uri: str) -> Version:
    """Return the version that a models:/ URI names. Raises RegistryError."""
    alias = re.fullmatch(r"models:/([^/@]+)@([^/@]+)", uri)
    number = re.fullmatch(r"models:/([^/@]+)/(\d+)", uri)
    if number:
        known_status(number[1])
        return version(number[1], int(number[2]))
    if not alias:
        raise RegistryError(f"{uri} is not a model address. Give {FORMS}.")
    aliases = known_status(alias[1]).aliases
    if alias[2] not in aliases:
        known = (
            ", ".join(f"{each} (version {there})" for each, there in aliases.items()) or "none yet; `make run` first"
        )
        raise RegistryError(f"{alias[1]} has no {alias[2]}. It has: {known}.")
    return version(alias[1], aliases[alias[2]])


def known_status(name: str) -> Status:
    """Return aliases and versions of a model that is registered. Raises RegistryError for any other, with the nearest.

    Without MLFLOW_TRACKING_URI, the record is that of the project in the current folder, which must exist.
    """
    if store.embedded() and not store.database().exists():
        raise RegistryError(
            f"{Path.cwd()} has no record of models ({store.EMBEDDED}). Change to the folder of a project in which "
            "`make run` has registered one, or set MLFLOW_TRACKING_URI to the address that `ddpm status` prints there."
        )
    found = status(name)
    if found.versions or found.aliases:
        return found
    registered = sorted(each.name for each in store.client().search_registered_models(max_results=1000))
    if name in registered:
        return found
    near = difflib.get_close_matches(name, registered, NEAREST)
    known = (
        f"nearest: {', '.join(near)}" if near else f"registered: {', '.join(registered) or 'none; `make run` first'}"
    )
    raise RegistryError(f"{name} is not a registered model at {redact_text(store.tracking_uri())}; {known}")
