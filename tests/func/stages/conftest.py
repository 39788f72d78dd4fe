"""A small project in which every stage has run."""

import shutil
from pathlib import Path

import pytest

from ddpm.common import files
from ddpm.stages import evaluate, features, prepare, sample
from tests.support import tiny
from tests.support.evaluated_project import CHANGES, write_images, write_params


@pytest.fixture(scope="session")
def evaluated_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder in which every stage has run once; read only."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_params(CHANGES)
        write_images()
        prepare.main()
        features.main()
        tiny.random_checkpoint(folder / "out/train/model")
        files.write_text(folder / "out/train/history.csv", "images,loss,lr,grad_norm\n80,0.9,0.001,1\n160,0.5,0,1\n")
        sample.main()
        evaluate.main()
    return folder


@pytest.fixture
def evaluated(evaluated_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, current, to change at will."""
    shutil.copytree(evaluated_once, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
