"""`import ddpm` gives what the commands give, bit for bit, wherever the record is; its errors name the remedy."""

import ast
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import ddpm
from ddpm import api, tracking
from ddpm.api.options import SamplerOptions
from ddpm.cli import app
from ddpm.registry import RegistryError
from ddpm.sampling.options import NAMES
from ddpm.serving import pack
from tests.support import forked, records

NAME = "ddpm-digits"
OWN = {"sampler": "ddim", "steps": 4, "spacing": "uniform", "eta": 0.5, "guidance": 2.0}
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def recorded(tiny_checkpoint: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a champion in its embedded record."""
    folder = tmp_path_factory.mktemp("recorded")
    with records.champion(folder, empty_database, tiny_checkpoint, NAME, OWN):
        Path("params.yaml").write_text(f"promote:\n  name: {NAME}\n")
    return folder


@pytest.fixture
def inside(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project folder as the current one."""
    monkeypatch.chdir(recorded)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return recorded


ROOT = Path(__file__).parents[3]


def command(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_names_are_those_of_the_interface_and_of_the_types() -> None:
    stub = ast.parse(Path(ddpm.__file__).with_suffix(".pyi").read_text())
    typed = {each.asname for node in stub.body if isinstance(node, ast.ImportFrom) for each in node.names}
    assert typed == set(ddpm.__all__) == set(api.__all__)
    assert set(dir(ddpm)) >= typed
    for name in typed:
        assert getattr(ddpm, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'train'; it has Model, load"):
        ddpm.train  # noqa: B018
    assert set(SamplerOptions.__annotations__) == set(NAMES)


def test_the_champion_is_sampled_as_the_command_samples_it(inside: Path, tmp_path: Path) -> None:
    out = tmp_path / "images.npy"
    words = ("--count", "5", "--seed", "3", "--batch", "2")
    command("sample", "--model", f"models:/{NAME}@champion", *words, "--out", out)
    model = ddpm.load(f"models:/{NAME}@champion")
    images = model.sample(5, seed=3, batch=2)
    assert images.dtype == np.uint8
    assert images.shape == (5, *model.shape) == (5, 8, 8, 1)
    assert np.array_equal(images, np.load(out))
    assert not np.array_equal(images, model.sample(5, seed=3, batch=2, guidance=1.0)), "options count"
    command("sample", "--model", f"models:/{NAME}/1", *words, "--label", "light", "--sampler", "heun", "--churn", "4",
            "--out", tmp_path / "other.npy")  # fmt: skip
    other = ddpm.load(1).sample(5, seed=3, batch=2, label="light", sampler="heun", churn=4)
    assert np.array_equal(other, np.load(tmp_path / "other.npy"))


OUTSIDER = """
import ddpm
model = ddpm.load("models:/ddpm-digits@champion")
print(model.sample(2).sum())
"""


def test_outside_of_the_project_the_record_is_where_the_variable_says(inside: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    named = environment | {"MLFLOW_TRACKING_URI": tracking.tracking_uri()}
    done = forked.run([sys.executable, "-c", OUTSIDER], cwd=tmp_path, env=named)
    assert done.returncode == 0, done.stderr
    model = ddpm.load(f"models:/{NAME}@champion")
    assert done.stdout.strip() == str(model.sample(2).sum())


def test_without_a_record_the_remedy_is_named_and_nothing_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for address in ("models:/ddpm-digits@champion", "models:/ddpm-digits/1"):
        with pytest.raises(RegistryError, match=r"has no record of models .* or set MLFLOW_TRACKING_URI"):
            ddpm.load(address)
    assert not list(tmp_path.iterdir())


def test_unknown_names_are_answered_with_the_nearest(inside: Path) -> None:
    for name in ("ddpm-digit", "ddpm-digts"):
        with pytest.raises(RegistryError, match=f"{name} is not a registered model at .*; nearest: {NAME}"):
            ddpm.load(f"models:/{name}@champion")
    with pytest.raises(RegistryError, match=f"registered: {NAME}"):
        ddpm.versions("zebra")
    with pytest.raises(RegistryError, match=r"has no previous. It has: .*champion"):
        ddpm.load(f"models:/{NAME}@previous")
    with pytest.raises(RegistryError, match=r"is not a model. Give models:/NAME@ALIAS"):
        ddpm.load("nowhere")
    with pytest.raises(TypeError, match="no option 'step'; nearest: steps"):
        ddpm.load(1).sample(1, step=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="label grey does not exist"):
        ddpm.load(1).sample(1, label="grey")


def test_versions_are_listed(inside: Path) -> None:
    found = ddpm.versions()
    assert (found.name, [each.number for each in found.versions]) == (NAME, [1])
    assert found.champion is not None
    assert found.champion.sampling["steps"] == 4


def test_a_packed_model_is_sampled_with_the_settings_it_was_packed_with(
    inside: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    pack.pack(tiny_checkpoint, tmp_path / "packed", OWN)
    packed = ddpm.load(tmp_path / "packed")
    assert packed.sha256 == ddpm.load(tiny_checkpoint).sha256
    assert np.array_equal(packed.sample(3), ddpm.load(1).sample(3))
    assert not np.array_equal(packed.sample(3), ddpm.load(tiny_checkpoint).sample(3))


def test_restorations_are_those_of_the_command(tiny_checkpoint: Path, tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    for number, picture in enumerate(PICTURES):
        Image.fromarray(picture[:, :, 0]).save(given / f"{number}.png")
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:6] = True
    Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    command("restore", "inpaint", "--model", tiny_checkpoint, "--input", given, "--mask", tmp_path / "mask.png",
            "--steps", "3", "--rounds", "2", "--count", "2", "--label", "light", "--out", out)  # fmt: skip
    model = ddpm.load(tiny_checkpoint)
    for images, hole in ((PICTURES, mask), (given, tmp_path / "mask.png")):
        found = model.restore("inpaint", images, mask=hole, steps=3, rounds=2, count=2, label="light").images
        assert found.shape == (3, 2, 8, 8, 1)
        for number, repeat in np.ndindex(3, 2):
            written = np.asarray(Image.open(out / str(number) / f"restored-{repeat}.png"))
            assert np.array_equal(found[number, repeat, :, :, 0], written)
    with pytest.raises(ValueError, match=r"bool \(8, 8\)"):
        model.restore("inpaint", PICTURES, mask=mask[:4])
    with pytest.raises(ValueError, match=r"must be uint8 \(N, 4, 4, 1\)"):
        model.restore("super-resolution", PICTURES, scale=2)


def test_scores_are_those_of_the_command(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    real, fake = (random.integers(low, 200, (60, 8, 8, 1)).astype(np.uint8) for low in (0, 60))
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "fake.npy", fake)
    printed = json.loads(command("score", "--real", tmp_path / "real.npy", "--fake", tmp_path / "fake.npy", "--json"))
    from_files = ddpm.score(tmp_path / "real.npy", str(tmp_path / "fake.npy"))
    assert from_files.source == printed
    from_arrays = ddpm.score(real, fake)
    assert {**from_arrays.source, "conditions": {}} == {**printed, "conditions": {}}
    assert from_arrays.fid == printed["fid"]
    assert from_arrays.conditions["real"] == "an array of shape (60, 8, 8, 1)"
    assert from_arrays.conditions["extractor"] == "efficientnet-lite0"
    with pytest.raises(ValueError, match="49 images are too few to score"):
        ddpm.score(real[:49], fake[:49])
    with pytest.raises(ValueError, match="holds float64"):
        ddpm.score(real / 255, fake)  # type: ignore[arg-type]


def test_the_notebook_runs_from_its_folder_and_has_no_outputs(recorded: Path) -> None:
    notebook = json.loads((ROOT / "docs/tour.ipynb").read_text())
    cells = [each for each in notebook["cells"] if each["cell_type"] == "code"]
    assert not [each for each in cells if each["outputs"] or each["execution_count"]]
    (recorded / "docs").mkdir(exist_ok=True)
    code = "\n".join("".join(each["source"]) for each in cells)
    used = {node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    assert used >= {"load", "versions", "score", "sample", "restore"}, "all functions are in it"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    done = forked.run([sys.executable, "-c", code], cwd=recorded / "docs", env=environment)
    assert done.returncode == 0, done.stderr
    assert "(60, 8, 8, 1) uint8" in done.stdout
    assert "(4, 2, 8, 8, 1) (4, 8, 8, 1)" in done.stdout
    assert "efficientnet-lite0" in done.stdout
