"""Small repositories under git and DVC, and one Prefect server for the whole session."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.repositories import DVC_YAML, SHOUT, sh

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session", autouse=True)
def tools_on_path() -> None:
    """DVC's stages find `python`, and tests find `dvc`, next to this interpreter."""
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    os.environ.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
    for who in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{who}_NAME": "Somebody", f"GIT_{who}_EMAIL": "somebody@example.org"}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, tools_on_path: None) -> Path:
    """A repository with tracked data, which its remote also has; copied for each test."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "data").mkdir()
    (folder / "data" / "a.txt").write_text("a")
    sh(folder, "git", "init", "-q")
    sh(folder, "dvc", "init", "-q")
    sh(folder, "dvc", "remote", "add", "-q", "-d", "store", "store")  # in .dvc/config, relative to that
    sh(folder, "dvc", "add", "-q", "data")
    sh(folder, "dvc", "push", "-q")
    shutil.rmtree(folder / ".dvc" / "tmp")
    return folder


@pytest.fixture
def make_repository(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that creates a repository with the stages of a dvc.yaml and enters it."""

    def make(dvc_yaml: str = DVC_YAML, **scripts: str) -> Path:
        folder = tmp_path / "repository"
        shutil.copytree(template, folder, symlinks=True)
        (folder / "dvc.yaml").write_text(dvc_yaml)
        for name, text in ({"shout": SHOUT} | scripts).items():
            (folder / f"{name}.py").write_text(text)
        monkeypatch.chdir(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def prefect(prefect_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect with a temporary server and database; one per session, because it takes 10 to 20 seconds to start."""
    from prefect.testing import utilities

    import flows  # noqa: F401 - its settings come before Prefect's import

    folder = tmp_path_factory.mktemp("harness")
    databases.give_prefect(folder, prefect_home, "prefect-test.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: str(folder))  # where the harness has its database
        with utilities.prefect_test_harness(server_startup_timeout=600):
            yield
