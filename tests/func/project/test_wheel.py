"""The wheel that `pip install .` builds: installed apart from the checkout and used in an empty folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm.evaluation import extractor_store, reference
from ddpm.metrics import classifier
from tests.support import forked, tiny

ROOT = Path(__file__).parents[3]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src")
"""What a wheel is built from."""
NO_SOURCE = ("__pycache__", "*.egg-info", "build")


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, sees the dependencies of this one, and knows of no checkout."""

    wheel: Path
    folder: Path

    def ddpm(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run the command with nothing on PATH but this environment: no git, dvc or make."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        environment = {"PATH": str(self.folder / "bin"), "HOME": str(home), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [self.folder / "bin/ddpm", *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )

    def run(self, *words: str, cwd: Path) -> str:
        """Run a command that must succeed; its output."""
        done = self.ddpm(*words, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    base = tmp_path_factory.mktemp("wheel")
    tree = base / "tree"
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns(*NO_SOURCE))
        else:
            tree.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(base), str(tree))
    (wheel,) = base.glob("*.whl")
    folder = base / "environment"
    venv.create(folder, symlinks=True)
    pip("--python", str(folder / "bin/python"), "install", "--no-deps", "--no-index", str(wheel))
    (site,) = folder.glob("lib/python*/site-packages")
    # A folder that a .pth file adds has its own .pth files ignored, the one of the editable install among them.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return Installed(wheel, folder)


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def empty(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A folder that holds a model and nothing else."""
    shutil.copytree(tiny_checkpoint, tmp_path / "folder/model")
    return tmp_path / "folder"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(installed: Installed) -> None:
    package = ROOT / "src/ddpm"
    there = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(installed.wheel) as wheel:
        inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (licence,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert inside == there
    assert {Path(name).suffix for name in inside} >= {".py", ".pyi", ".css", ".js", ".jinja", ".txt", ".typed"}


def test_help_lists_the_commands(installed: Installed, empty: Path) -> None:
    said = installed.run("--help", cwd=empty)
    assert all(f" {name} " in said for name in ("sample", "score", "restore", "export"))
    assert names(empty) == {"model"}


def test_sampling_draws_the_images_that_the_checkout_draws(installed: Installed, empty: Path, tmp_path: Path) -> None:
    words = ("sample", "--model", "model", "--count", "3", "--steps", "4", "--seed", "7", "--out", "images.npy")
    installed.run(*words, cwd=empty)
    other = tmp_path / "other"
    shutil.copytree(empty / "model", other / "model")
    here = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", "from ddpm.cli import app; app()", *words]
    assert forked.run(command, cwd=other, env=here).returncode == 0
    images = np.load(empty / "images.npy")
    assert images.shape == (3, 8, 8, 1)
    assert np.array_equal(images, np.load(other / "images.npy"))
    assert names(empty) == {"model", "images.npy"}


PYTHON = """
import sys, ddpm
assert not {"torch", "numpy", "mlflow", "typer"} & set(sys.modules), "import ddpm is instant"
images = ddpm.load("model").sample(3, seed=7, steps=4)
import numpy
numpy.save("python.npy", images)
print(ddpm.__file__)
"""


def test_the_python_interface_draws_what_the_command_draws(installed: Installed, empty: Path) -> None:
    command = [installed.folder / "bin/python", "-I", "-c", PYTHON]
    done = subprocess.run(command, cwd=empty, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed.folder))
    words = ("sample", "--model", "model", "--count", "3", "--steps", "4", "--seed", "7", "--out", "images.npy")
    installed.run(*words, cwd=empty)
    assert np.array_equal(np.load(empty / "python.npy"), np.load(empty / "images.npy"))
    assert names(empty) == {"model", "images.npy", "python.npy"}


def test_interpolation_writes_an_animation(installed: Installed, empty: Path) -> None:
    installed.run("sample", "--model", "model", "--from", "1", "--to", "2", "--count", "3", "--steps", "4",
                  "--out", "way.gif", cwd=empty)  # fmt: skip
    with Image.open(empty / "way.gif") as way:
        assert getattr(way, "n_frames", 1) >= 3
    assert names(empty) == {"model", "way.gif"}


def test_restoration_keeps_the_known_pixels(installed: Installed, empty: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 255  # to be painted
    Image.fromarray(picture).save(empty / "picture.png")
    Image.fromarray(mask).save(empty / "mask.png")
    installed.run("restore", "inpaint", "--model", "model", "--input", "picture.png", "--mask", "mask.png",
                  "--steps", "4", "--out", "restored", cwd=empty)  # fmt: skip
    (drawn,) = (path for path in (empty / "restored").rglob("*.png") if path.name != "strip.png")
    with Image.open(drawn) as image:
        pixels = np.asarray(image)
    assert np.abs(pixels[4:].astype(int) - picture[4:]).max() <= 1
    assert not np.array_equal(pixels[:4], picture[:4])
    assert names(empty) == {"model", "picture.png", "mask.png", "restored"}


def test_scoring_takes_the_extractor_of_a_project(installed: Installed, empty: Path) -> None:
    images = np.random.default_rng(0).integers(0, 100, (120, 8, 8, 1)).astype(np.uint8)
    images[60:] += 150
    extractor = empty / "features"
    extractor.mkdir()
    trained = classifier.train(
        images, np.repeat([0, 1], 60), classes=2, width=4, budget=1000, batch=40, lr=0.01, seed=0
    )
    seen = extractor_store.write_classifier(extractor, trained, "cpu")
    train, heldout, noise = (
        reference.observe(seen, images, np.arange(len(images)), extractor / name)
        for name in (reference.TRAIN, reference.HELDOUT, reference.NOISE)
    )
    reference.write(extractor, seen, train, heldout, {"noise": noise}, classes=("dark", "light"),
                    class_counts=np.array([60, 60]), data_sha256="d", accuracy=1.0, seed=0)  # fmt: skip
    np.save(empty / "real.npy", images)
    words = ("score", "--real", "real.npy", "--fake", "real.npy")
    said = installed.run(*words, "--extractor", "classifier:features", cwd=empty)
    assert "FID (classifier, " in said
    assert names(empty) == {"model", "features", "real.npy"}
    done = installed.ddpm(*words, "--extractor", "classifier", cwd=empty)
    assert done.returncode == 1
    assert "--extractor classifier:FOLDER" in done.stderr


def test_scoring_needs_no_project(installed: Installed, empty: Path) -> None:
    np.save(empty / "real.npy", np.random.default_rng(0).integers(0, 255, (60, 8, 8, 1)).astype(np.uint8))
    said = installed.run("score", "--real", "real.npy", "--fake", "real.npy", cwd=empty)
    assert "FID (efficientnet-lite0, 60 images) " in said
    assert names(empty) == {"model", "real.npy"}


def test_export_of_a_patched_model_brings_its_module_along(installed: Installed, empty: Path) -> None:
    patched = tiny.CONFIG | {"net": tiny.CONFIG["net"] | {"patch": 2}}
    tiny.random_checkpoint(empty / "patched", patched)
    installed.run("export", "--to", "diffusers", "--model", "patched", "exported", cwd=empty)
    module = ROOT / "src/ddpm/exchange/patched_unet.py.txt"
    assert (empty / "exported/unet/patched_unet.py").read_bytes() == module.read_bytes()


def test_a_checkout_is_not_run_with_the_wheel_s_code(installed: Installed, empty: Path) -> None:
    (empty / "src/ddpm").mkdir(parents=True)
    done = installed.ddpm("sample", "--model", "model", "--count", "1", "--out", "a.png", cwd=empty)
    assert done.returncode == 1
    assert str(installed.folder) in done.stderr.replace("\n", "")
    assert not (empty / "a.png").exists()
