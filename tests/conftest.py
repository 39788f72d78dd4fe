"""Fixtures that several parts share."""

from pathlib import Path

import pytest

from tests import records


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without content."""
    return records.new_database(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with random weights; read only."""
    from tests import tiny  # imports torch

    return tiny.random_checkpoint(tmp_path_factory.mktemp("checkpoint") / "model")


@pytest.fixture
def project(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, current, with an embedded MLflow record of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    records.use_embedded(folder, empty_database)
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    return folder
