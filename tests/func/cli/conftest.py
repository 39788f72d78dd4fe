"""A real clone of the project, with real DVC, to change data in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import forked

ROOT = Path(__file__).parents[3]
OVERLAY = [
    "params.yaml",
    "dvc.yaml",
    "data.dvc",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    "presets",
    "assets/datasets",
    "src",
]

Run = Callable[..., subprocess.CompletedProcess[str]]


def environment(cwd: Path) -> dict[str, str]:
    """The clone's own code; wide output, so that messages are not broken."""
    return os.environ | {
        "PYTHONPATH": str(cwd / "src"),
        "COLUMNS": "200",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def run(*command: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in a clone."""
    done = forked.run(command, cwd=cwd, env=environment(cwd))
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def fresh_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone with the files of the working tree; the data have not been pulled. To be copied, not used."""
    target = tmp_path_factory.mktemp("fresh") / "clone"
    run("git", "clone", "--quiet", str(ROOT), str(target), cwd=target.parent)
    for name in OVERLAY:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / name, target / name)
    run("git", "config", "user.name", "tester", cwd=target)
    run("git", "config", "user.email", "tester@localhost", cwd=target)
    run("git", "commit", "--quiet", "--all", "--allow-empty", "--message", "the working tree", cwd=target)
    return target


@pytest.fixture(scope="session")
def pulled_clone(fresh_clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its data."""
    target = shutil.copytree(fresh_clone, tmp_path_factory.mktemp("pulled") / "clone", symlinks=True)
    run("dvc", "pull", "--quiet", "data.dvc", cwd=target)
    return target


@pytest.fixture
def clone(fresh_clone: Path, tmp_path: Path) -> Path:
    """A fresh clone of one's own, without data."""
    return shutil.copytree(fresh_clone, tmp_path / "clone", symlinks=True)


@pytest.fixture
def checkout(pulled_clone: Path, tmp_path: Path) -> Path:
    """A fresh clone of one's own, with data."""
    return shutil.copytree(pulled_clone, tmp_path / "clone", symlinks=True)
