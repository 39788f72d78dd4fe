"""Reading versions from the embedded database without MLflow, whose import takes two seconds."""

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

REVISION = "dc11669786a5"  # pragma: allowlist secret
"""Schema that is read here, as Alembic names it: that of the locked MLflow."""
DELETED = "Deleted_Internal"  # stage of a deleted version, whose row MLflow keeps
PATIENCE = 5.0  # seconds to wait for a process that is writing


class Row(NamedTuple):
    """A version as stored. milliseconds: of its creation, since 1970."""

    number: int
    milliseconds: int
    run_id: str | None
    source: str | None
    tags: dict[str, str]


def read(database: Path, name: str) -> tuple[dict[str, int], list[Row]] | None:
    """Return the versions of a model by alias, and all versions, newest first; both empty if nothing is stored yet.

    None for a database that has another schema or cannot be read: ask MLflow, which upgrades it or gives the reason.
    """
    if not database.exists():
        return {}, []
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=PATIENCE)
        with contextlib.closing(connection), connection:
            if connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(REVISION,)]:
                return _aliases(connection, name), _versions(connection, name)
    return None


def _aliases(connection: sqlite3.Connection, name: str) -> dict[str, int]:
    query = "SELECT alias, version FROM registered_model_aliases WHERE workspace = 'default' AND name = ?"
    return dict(connection.execute(query, [name]).fetchall())


def _versions(connection: sqlite3.Connection, name: str) -> list[Row]:
    query = (
        "SELECT version, creation_time, run_id, source FROM model_versions "
        "WHERE workspace = 'default' AND name = ? AND current_stage != ? ORDER BY version DESC"
    )
    found = connection.execute(query, [name, DELETED]).fetchall()
    rows = {number: Row(number, created, run_id, source, {}) for number, created, run_id, source in found}
    query = "SELECT version, key, value FROM model_version_tags WHERE workspace = 'default' AND name = ?"
    for number, key, value in connection.execute(query, [name]):
        if number in rows:
            rows[number].tags[key] = value
    return list(rows.values())
