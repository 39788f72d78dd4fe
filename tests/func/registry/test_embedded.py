"""What is read from the embedded database equals what MLflow answers."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm import registry
from ddpm.registry import embedded
from ddpm.tracking import store
from tests.func.registry.conftest import NAME

Make = Callable[..., int]


def _by_mlflow(monkeypatch: pytest.MonkeyPatch) -> registry.Status:
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "read", lambda database, name: None)
        return registry.status(NAME)


def test_equals_mlflow_s_answer(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for digest in "abc":
        make(digest)
    registry.annotate(NAME, 1, {"ddpm.words": "It's \u00e4 \U0001f600"})
    store.client().delete_model_version(NAME, "2")
    found = registry.status(NAME)
    assert [each.number for each in found.versions] == [3, 1]
    assert found.aliases == {"candidate": 3}
    assert found == _by_mlflow(monkeypatch)


def test_the_schema_is_that_of_the_locked_mlflow(make: Make) -> None:
    make("a")
    assert embedded.read(store.database(), NAME) is not None


def test_nothing_stored_is_empty(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.database().unlink(missing_ok=True)
    assert registry.status(NAME) == registry.Status(NAME)
    assert not store.database().exists()
    assert registry.status(NAME) == _by_mlflow(monkeypatch)


def test_another_schema_is_left_to_mlflow(make: Make) -> None:
    make("a")
    connection = sqlite3.connect(store.database())
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = 'other'")
    connection.close()
    assert embedded.read(store.database(), NAME) is None


def test_a_damaged_database_is_left_to_mlflow(project: Path) -> None:
    store.database().parent.mkdir(parents=True, exist_ok=True)
    store.database().write_bytes(b"not a database" * 100)
    assert embedded.read(store.database(), NAME) is None


def test_mlflow_is_not_imported(make: Make) -> None:
    make("a")
    program = (
        "import sys; from ddpm import registry, tracking\n"
        f"with tracking.friendly_errors(): assert registry.status('{NAME}').versions\n"
        "assert not {'mlflow', 'torch'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
