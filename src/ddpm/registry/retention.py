"""Deletion of old versions and their artifacts, except versions with an alias and files that another version uses."""

import re
from typing import TYPE_CHECKING, Any

from ddpm.common.redact import redact_text
from ddpm.registry import logged_model
from ddpm.registry.lock import RegistryLock, file_lock
from ddpm.registry.versions import VERIFIED_TAG, Version, status
from ddpm.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def prune(name: str, keep: int, *, dry_run: bool = False, lock: RegistryLock = file_lock) -> list[int]:
    """Delete all but the newest `keep` versions without an alias; return the numbers deleted, or due if `dry_run`.

    Versions with an alias are kept and not counted. Runs, with their metrics and lineage, and the audit trail stay.
    After a crash, a repeated call resumes: a half-deleted version is unverified. Raises ValueError for `keep` < 0.
    """
    if keep < 0:
        raise ValueError(f"--keep {keep}: must be 0 or more")
    connection = store.client()
    with lock(name) as held:
        without_alias = [each for each in status(name).versions if not each.aliases]
        excess = sorted(without_alias[keep:], key=lambda each: each.number)
        if not dry_run:
            for each in excess:
                held.require()
                delete_version(connection, each)
    return [each.number for each in excess]


def delete_version(connection: "MlflowClient", each: Version) -> None:
    """Delete the verification tag, the files unless another version of any name uses them, then entry and version."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if each.number in status(each.name).aliases.values():  # another process without the lock set an alias meanwhile
        return
    if each.verified:
        connection.delete_model_version_tag(each.name, str(each.number), VERIFIED_TAG)
    if _is_ours(connection, each) and len(connection.search_model_versions(f"source_path = '{each.source}'")) == 1:
        repository: Any = get_artifact_repository(each.source, tracking_uri=store.tracking_uri())
        try:
            repository.delete_artifacts()
        except (MlflowException, OSError) as error:
            raise ValueError(
                f"the files of version {each.number} of {each.name}, at {redact_text(each.source)}, cannot be deleted: "
                f"{error}. The version was kept; try again later."
            ) from error
    logged_model.delete(connection, each)
    connection.delete_model_version(each.name, str(each.number))


def _is_ours(connection: "MlflowClient", each: Version) -> bool:
    """Return whether the files are where `register` puts them: any client can register a version with any source."""
    from mlflow.exceptions import MlflowException

    try:
        root = str(connection.get_run(each.run_id).info.artifact_uri) if each.run_id else ""
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    place = each.source.removeprefix(f"{root}/")
    return bool(root) and place != each.source and re.fullmatch(r"models/[0-9a-f]{12}-[0-9a-f]{6}", place) is not None
