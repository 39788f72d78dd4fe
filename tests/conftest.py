"""Fixtures that several parts share."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import flows  # noqa: F401 - sets Prefect's variables, here once and before any test
from ddpm.tracking import store
from tests.support import databases, records

# The models of the tests are too small for threads, and files of tests run side by side.
os.environ["OMP_NUM_THREADS"] = "1"
# Started behind `&` or nohup, pytest ignores SIGINT and so would the programs that tests stop with it.
signal.signal(signal.SIGINT, signal.default_int_handler)
store.quiet()  # its variables too are set before any test


IMPORT_PATH = list(sys.path)


LONGEST = (
    "func/flows/test_end_to_end.py", "func/faults/test_killed.py", "func/flows/test_service.py",
    "func/docs/test_pages.py", "func/docker/test_team.py", "func/stages/test_train_processes.py",
    "func/faults/test_surroundings.py", "func/faults/test_crash_points.py", "func/serving/test_clean_environment.py",
    "func/stages/test_train.py", "func/cli/test_data_interrupted.py", "func/cli/test_data_use.py",
    "func/stages/test_presets.py",
)  # fmt: skip
"""Files of minutes: they begin first, so that no core waits for one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; all else keeps its order."""
    here = Path(__file__).parent
    rank = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, for `-n auto`
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a third of the time, a test waits for a server or for a process to end."""
    return (psutil.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def environment_variables() -> Iterator[None]:
    """The variables as they were: addresses of servers that a test started or named do not reach the tests after it.

    The product sets some (`prefect_server.Server.use`, `store.quiet`), and so does `mlflow.set_tracking_uri`. Prefect
    keeps what it read of them for the threads of the process.
    """
    before, prefect = dict(os.environ), sys.modules.get("prefect.context")
    settings = prefect and prefect.GLOBAL_SETTINGS_CONTEXT
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    if prefect:
        prefect.GLOBAL_SETTINGS_CONTEXT = settings
    elif loaded := sys.modules.get("prefect.context"):
        loaded.refresh_global_settings_context()


@pytest.fixture(autouse=True)
def import_path() -> Iterator[None]:
    """Loading a registered model puts its packed `ddpm` first on sys.path, where spawned processes would find it.

    Fixtures of wider scope load some as well, so that the path is set right before a test too.
    """
    sys.path[:] = IMPORT_PATH
    yield
    sys.path[:] = IMPORT_PATH


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without content."""
    return databases.once(tmp_path_factory, "mlflow", records.new_database) / "mlflow.db"


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's tables without content, for `databases.give_prefect`."""
    return databases.once(tmp_path_factory, "prefect", databases.make_prefect)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with random weights; read only."""
    from tests.support import tiny  # imports torch

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
