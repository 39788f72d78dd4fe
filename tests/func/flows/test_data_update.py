"""Updates of imported data, with real repositories and `dvc update`, and sources that disappear."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm.data import pointer
from flows import dvc
from flows.tasks import data_update
from tests.support.repositories import beside, sh

Make = Callable[..., Path]


LIMIT = 300.0


@pytest.fixture(scope="session")
def world(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose data were imported from its sibling folder `outside`; copied for each test."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(template, folder / "repository", symlinks=True)
    (folder / "outside").mkdir()
    for name in "ab":
        (folder / "outside" / f"{name}.txt").write_text(name)
    shutil.rmtree(folder / "repository" / "data")
    (folder / "repository" / ".gitignore").unlink()  # DVC writes the line for the data again
    sh(folder / "repository", "dvc", "import-url", "-q", "--force", "../outside", "data")
    shutil.rmtree(folder / "repository" / ".dvc" / "tmp")
    return folder


@pytest.fixture
def repository(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the current folder."""
    shutil.copytree(world, tmp_path / "world", symlinks=True)
    monkeypatch.chdir(tmp_path / "world" / "repository")
    return tmp_path / "world" / "repository"


@pytest.fixture
def outside(repository: Path) -> Path:
    return repository.parent / "outside"


def refresh() -> tuple[pointer.Version, pointer.Version]:
    return data_update.refresh(lambda line: None, LIMIT)


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((folder / "data").iterdir())}


def test_the_source_moves_and_the_data_follow(repository: Path, outside: Path) -> None:
    text = (repository / "data.dvc").read_text()
    before, now = refresh()
    assert before == now
    assert (repository / "data.dvc").read_text() == text
    (outside / "c.txt").write_text("c")
    before, now = refresh()
    assert (before.count, now.count) == (2, 3)
    assert files(repository) == {"a.txt": "a", "b.txt": "b", "c.txt": "c"}
    assert beside(repository) == []
    assert dvc.data_changes("data.dvc") == set()
    assert (repository / "data.dvc").read_text().count("path: data\n") == 1
    assert (repository / ".gitignore").read_text() == "/data\n"


def test_data_that_were_added_have_no_source(make_repository: Make) -> None:
    make_repository()
    assert not data_update.has_source()


def test_a_missing_source_leaves_the_data_unchanged(repository: Path, outside: Path) -> None:
    text = (repository / "data.dvc").read_text()
    shutil.rmtree(outside)
    for made in ((), (outside,), (outside, outside / "deep")):
        for folder in made:
            folder.mkdir(exist_ok=True)
        with pytest.raises(data_update.SourceError, match=r"outside, is (gone|empty).*are unchanged.*data use SOURCE"):
            refresh()
        assert (repository / "data.dvc").read_text() == text
        assert files(repository) == {"a.txt": "a", "b.txt": "b"}
        assert beside(repository) == []


def test_a_source_that_cannot_be_copied_is_refused_before_dvc_waits_for_it(repository: Path, outside: Path) -> None:
    text = (repository / "data.dvc").read_text()
    os.mkfifo(outside / "pipe.png")
    with pytest.raises(data_update.SourceError, match=r"pipe\.png: it is a named pipe"):
        refresh()
    assert (repository / "data.dvc").read_text() == text
    assert files(repository) == {"a.txt": "a", "b.txt": "b"}


def test_a_source_that_disappears_while_it_is_fetched(
    repository: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the probe. DVC deletes the data, then fails; they are restored."""
    shutil.rmtree(outside)
    monkeypatch.setattr(data_update, "probe", lambda: None)
    with pytest.raises(data_update.SourceError, match="could not be fetched"):
        refresh()
    assert files(repository) == {"a.txt": "a", "b.txt": "b"}
    assert dvc.data_changes("data.dvc") == set()


def test_a_kill_in_the_middle_leaves_the_data_and_is_cleaned_up_by_the_next_run(
    repository: Path, outside: Path
) -> None:
    """SIGKILL of the updating process while DVC reads the source. DVC holds the lock until it has ended as well."""
    text = (repository / "data.dvc").read_text()
    os.mkfifo(outside / "0.txt")  # whoever reads the source waits here, for ever
    program = "from flows.tasks import data_update; data_update.probe = lambda: None; data_update.refresh(print, 300.0)"
    environment = os.environ | {
        "PYTHONPATH": f"{Path(__file__).parents[3]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    }
    run = subprocess.Popen([sys.executable, "-c", program], env=environment)
    pipe = None
    while pipe is None:
        assert run.poll() is None
        with contextlib.suppress(OSError):  # nobody reads it yet
            pipe = os.open(outside / "0.txt", os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert beside(repository) == ["data.incoming.dvc"]
    assert files(repository) == {"a.txt": "a", "b.txt": "b"}
    data_update.recover(lambda line: None)
    os.close(pipe)
    assert beside(repository) == []
    assert (repository / "data.dvc").read_text() == text
    assert files(repository) == {"a.txt": "a", "b.txt": "b"}


def test_an_update_keeps_the_other_entries_of_the_pointer(repository: Path, outside: Path) -> None:
    with (repository / "data.dvc").open("a") as file:
        file.write("desc: pets  # of ours\nmeta:\n  contact: us\n")
    (outside / "c.txt").write_text("c")
    refresh()
    text = (repository / "data.dvc").read_text()
    assert "desc: pets  # of ours\n" in text
    assert "contact: us" in text
    assert sh(repository, "dvc", "status", "--json", "data.dvc").strip() == "{}"


def test_data_of_another_repository_are_updated_too(
    repository: Path, make_repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repository()
    monkeypatch.chdir(repository)
    sh(other, "git", "add", ".")
    sh(other, "git", "commit", "-qm", "data")
    sh(repository, "rm", "-rf", "data")
    sh(repository, "dvc", "import", "-q", "--force", "-o", "data", str(other), "data")
    before, now = refresh()
    assert before == now
    (other / "data" / "new.txt").write_text("new")
    sh(other, "dvc", "add", "-q", "data")
    sh(other, "dvc", "push", "-q")
    sh(other, "git", "commit", "-qam", "more")
    before, now = refresh()
    assert now.count == before.count + 1
    assert files(repository)["new.txt"] == "new"


def test_a_fresh_clone_has_no_data_and_ends_with_none_when_the_source_is_gone(
    repository: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sh(repository, "rm", "-rf", "data", ".dvc/cache")
    moved = outside.rename(outside.with_name("moved"))
    monkeypatch.setattr(data_update, "probe", lambda: None)
    with pytest.raises(data_update.SourceError, match="could not be fetched"):
        refresh()
    assert not (repository / "data").exists()
    moved.rename(outside)
    refresh()
    assert files(repository) == {"a.txt": "a", "b.txt": "b"}


def test_data_missing_from_the_cache_are_saved_first(repository: Path, outside: Path) -> None:
    sh(repository, "rm", "-rf", ".dvc/cache")
    (outside / "a.txt").unlink()
    (outside / "b.txt").unlink()
    (outside / "deep").mkdir()
    with pytest.raises(data_update.SourceError, match="is empty"):
        refresh()
    assert files(repository) == {"a.txt": "a", "b.txt": "b"}


def test_data_changed_by_the_user_are_not_replaced(repository: Path, outside: Path) -> None:
    (repository / "data" / "mine.txt").write_text("mine")
    (outside / "c.txt").write_text("c")
    with pytest.raises(data_update.SourceError, match="dvc add data"):
        refresh()
    assert "mine.txt" in files(repository)
    known = dvc.Stage("data.dvc", data=True, slot=None, missing=())
    assert dvc.run(known, lambda line: None).result == dvc.StageResult.RECORDED  # as `dvc repro` does
