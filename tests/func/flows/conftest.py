"""Small repositories under git and DVC, and one Prefect server for the whole session."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ddpm import registry, tracking
from ddpm.registry.versions import CONTENT_TAG, VERIFIED_TAG
from tests.support import databases
from tests.support.approving import BETTER, NAME, Asked, judged
from tests.support.records import DIGEST
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


@pytest.fixture
def versions(prefect: None, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three versions, the first of them champion, and a short poll interval."""
    from flows import approval

    monkeypatch.setattr(approval, "POLL_SECONDS", 0.2)
    connection = tracking.client()
    connection.create_registered_model(NAME)
    run_id = tracking.complete(DIGEST, {"fid": 3.0})
    for content in "abc":
        tags = {CONTENT_TAG: content, VERIFIED_TAG: "{}"}
        connection.create_model_version(NAME, (project / content).as_uri(), run_id, tags=tags)
    registry.save_evidence(NAME, 2, {"verdict": BETTER.as_json()})
    registry.promote(NAME, 1, why="first", expected_champion=None)


@pytest.fixture
def ask() -> Iterator[Asked]:
    """A function that starts the flow in a thread; the future returns its final state."""
    from prefect import flow

    judging = flow(name="judging", persist_result=False)(judged)
    with ThreadPoolExecutor(1) as pool:
        yield lambda hours=0.1: pool.submit(judging, hours, return_state=True)
