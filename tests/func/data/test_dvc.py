"""DVC's words, which have no stable format: read from a real DVC of a known version."""

from importlib import metadata
from pathlib import Path

import pytest

from ddpm.data import dvc
from tests.support.repositories import sh


def test_the_version_whose_words_are_known() -> None:
    """After an upgrade, read its output again: the patterns in ddpm.data.dvc depend on it."""
    assert metadata.version("dvc").startswith("3.67.")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sh(tmp_path, "dvc", "init", "-q", "--no-scm")
    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    cmd: cp b.txt a.txt\n    deps: [b.txt]\n    outs: [a.txt]\n")
    (tmp_path / "b.txt").write_text("b")
    return tmp_path


def test_words_without_chatter(repository: Path) -> None:
    first = sh(repository, *dvc.command("repro")).splitlines()
    assert dvc.message_lines(first) == []
    again = sh(repository, *dvc.command("repro")).splitlines()
    assert any(dvc.CACHED.match(line) for line in again)
    assert dvc.message_lines(again) == []
    (repository / "a.txt").unlink()
    (repository / "dvc.lock").unlink()
    assert any(dvc.RESTORED.match(line) for line in sh(repository, *dvc.command("repro")).splitlines())


def test_a_failure_says_why_and_nothing_else(repository: Path) -> None:
    with pytest.raises(ValueError, match="`dvc add nowhere` failed, and nothing was changed") as error:
        dvc.run("add", "nowhere")
    assert "nowhere' does not exist" in str(error.value)
    assert "troubles" not in str(error.value)
    assert "dvc.org" not in str(error.value)


def test_another_dvc_at_work(repository: Path) -> None:
    (repository / "dvc.yaml").write_text("stages:\n  a:\n    cmd: echo a\n")
    (repository / ".dvc/tmp").mkdir(exist_ok=True)
    from dvc.lock import make_lock

    lock = make_lock(str(repository / ".dvc/tmp/lock"), tmp_dir=str(repository / ".dvc/tmp"))
    with lock, pytest.raises(ValueError, match="failed") as error:
        dvc.run("repro")
    assert dvc.is_busy(str(error.value).splitlines())
