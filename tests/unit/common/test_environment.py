"""A container's user: a bare number, without a name, and without a home that can be written to."""

import getpass
import os
from pathlib import Path

import pytest

from ddpm.common import environment

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user id without an entry, and no variable that names the user or a home."""
    for name in (*NAMES, "HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # so that what is set below is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.setattr(environment, "supplied", [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_user_without_a_name_gets_one(container: Path) -> None:
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    environment.complete()
    assert getpass.getuser() == "uid54321"
    assert environment.supplied == ["LOGNAME", "HOME"]
    environment.complete()
    assert environment.supplied == ["LOGNAME", "HOME"]


@pytest.mark.parametrize("home", [None, "", "/nonexistent", "relative"])
def test_a_user_without_a_home_gets_one_in_the_project(
    home: str | None, container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is not None:
        monkeypatch.setenv("HOME", home)
    environment.complete()
    assert Path.home() == container / ".state/home"
    assert Path.home().is_dir()


def test_a_home_that_cannot_be_written_to_stays_and_caches_go_elsewhere(
    container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "/")
    environment.complete()
    assert Path.home() == Path("/")
    assert Path(os.environ["MPLCONFIGDIR"]).is_relative_to(container)
    assert Path(os.environ["XDG_CACHE_HOME"]).is_relative_to(container)


def test_an_ordinary_user_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOGNAME": "ada", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(environment, "supplied", [])
    before = dict(os.environ)
    environment.complete()
    assert {key: value for key, value in os.environ.items() if "PROXY" not in key.upper()} == {
        key: value for key, value in before.items() if "PROXY" not in key.upper()
    }
    assert environment.supplied == []
