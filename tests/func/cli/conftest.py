"""A real clone of the project, with real DVC, to change data in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddpm.evaluation import extractor_store, reference
from ddpm.metrics import classifier
from tests.support import forked
from tests.support.imagefiles import encoded
from tests.support.scored import FAKE, REAL, noise, write

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


Files = dict[str, bytes]


def images(count: int = 300, side: int = 64, channels: int = 3, classes: str = "ab") -> Files:
    """Images of noise in class folders (or flat, without classes)."""
    random = np.random.default_rng(count + side)
    shape = (side, side, channels) if channels > 1 else (side, side)
    return {
        (f"{classes[index % len(classes)]}/" if classes else "") + f"{index}.png": encoded(
            random.integers(0, 256, shape, dtype=np.uint8)
        )
        for index in range(count)
    }


def folder(path: Path, files: Files) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def special(path: Path, name: str) -> Path:
    """A named pipe in a folder, which blocks its readers."""
    os.mkfifo(path / name)
    return path / name if name == "pipe" else path


def state(checkout: Path) -> dict[str, object]:
    """Everything that a failed switch must leave alone."""
    there = checkout / "data"
    return {
        "pointer": (checkout / "data.dvc").read_text(),
        "params": (checkout / "params.yaml").read_text(),
        "ignore": (checkout / ".gitignore").read_text(),
        "data": {str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()},
        "beside": sorted(path.name for path in checkout.glob("data*")),
        "status": run("dvc", "status", "--json", "data.dvc", cwd=checkout).stdout,
    }


@pytest.fixture(scope="module")
def scored_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classifier of dark and light images, and image sets; read only."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        labels = np.repeat([0, 1], 120)
        model = classifier.train(REAL, labels, classes=2, width=4, budget=4000, batch=40, lr=0.01, seed=0)
        features = Path("out/features")
        features.mkdir(parents=True)
        extractor = extractor_store.write_classifier(features, model, "cpu")
        train, heldout, noisy = (
            reference.observe(extractor, images, np.arange(len(images)), features / name)
            for images, name in ((REAL, "train_features.npy"), (REAL[::2], "heldout_features.npy"),
                                 (noise(100, 50), "noise_features.npy"))
        )  # fmt: skip
        reference.write(
            features, extractor, train, heldout, {"noise": noisy}, classes=("dark", "light"),
            class_counts=np.array([120, 120]), data_sha256="d", accuracy=1.0, seed=0,
        )  # fmt: skip
        np.save("real.npy", REAL)
        np.save("fake.npy", FAKE)
        np.save("floats.npy", FAKE / 255)
        write("real", REAL)
        write("fake", FAKE)
        write("few", FAKE[:49])
        write("mixed", [*FAKE[:60], *noise(60, 0, side=20)])
        write("broken", FAKE[:60])
        Path("broken/0007.png").write_bytes(b"")
    return folder
