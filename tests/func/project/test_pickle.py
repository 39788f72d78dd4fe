"""Nothing is ever unpickled: malicious pickles replace every type of input file and must not run."""

import io
import pickle  # to make the trap, and to prove that it springs for a reader who unpickles
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ddpm import exchange
from ddpm.cli import app
from ddpm.common import files
from ddpm.config import params
from ddpm.data import prepared, profile, sets
from ddpm.evaluation import extractor_store, reference, reference_file
from ddpm.metrics import efficientnet
from ddpm.metrics.dinov2 import DinoV2Extractor
from ddpm.model import checkpoint
from ddpm.registry.verify import VerificationError, _facts, _in_clean_process
from ddpm.review import session
from ddpm.sampling import chunks
from ddpm.serving import pack
from ddpm.tracking import Spool
from ddpm.training import state
from tests.support import tiny
from tests.support.malicious import array, arrays, plain, weights

ROOT = Path(__file__).parents[3]


TRAPS = {each.__name__: each for each in (plain, array, arrays, weights)}


@pytest.fixture(params=TRAPS)
def trap(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    content: bytes = TRAPS[request.param](tmp_path / "sprung")
    return content


def test_the_traps_spring_for_a_reader_who_unpickles(tmp_path: Path) -> None:
    marker = tmp_path / "sprung"
    for name, make in TRAPS.items():
        if name == "plain":
            pickle.loads(make(marker))
        elif name == "weights":
            torch.load(io.BytesIO(make(marker)), weights_only=False)
        else:
            loaded = np.load(io.BytesIO(make(marker)), allow_pickle=True)
            loaded = loaded["a"] if name == "arrays" else loaded
        assert marker.exists(), name
        marker.unlink()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def a_checkpoint(folder: Path, name: str, trap: bytes) -> Path:
    tiny.random_checkpoint(folder / "model")
    write(folder / "model" / name, trap)
    return folder / "model"


def a_state(folder: Path, trap: bytes) -> object:
    training = tiny.training()
    state.save(training, folder / "state", 3)
    (step,) = (folder / "state").glob("step-*")
    write(step / state.TENSORS, trap)
    progress = files.read_json(step / state.PROGRESS)
    progress["sha256"]["tensors"] = files.sha256_file(step / state.TENSORS)  # whoever tampers can do this, too
    files.write_json(step / state.PROGRESS, progress)
    return state.restore(training, folder / "state")


def prepared_images(folder: Path, name: str, trap: bytes) -> object:
    files.write_json(folder / "manifest.json", {"resolution": 8, "channels": 1, "images": [], "classes": []})
    files.write_json(folder / "statistics.json", {"sha256": ""})
    for each, content in (("images", np.zeros((0, 8, 8, 1), np.uint8)), ("labels", []), ("heldout", [])):
        files.write_npy(folder / f"{each}.npy", np.asarray(content))
    write(folder / name, trap)
    return prepared.load(folder)


def some_parts(folder: Path, name: str, trap: bytes) -> object:
    opened = chunks.opened(folder, {"seed": 0}, 2, 1)
    opened.fill(lambda indices: np.zeros((1, 8, 8, 1), np.uint8))
    write(folder / name, trap)
    return list(chunks.opened(folder, {"seed": 0}, 2, 1).read())


def features(folder: Path, name: str, trap: bytes) -> object:
    files.write_json(folder / extractor_store.EXTRACTOR, {
        "name": "classifier", "sha256": "", "resolution": 8, "channels": 1, "classes": 2, "width": 4,
    })  # fmt: skip
    write(folder / name, trap)
    return extractor_store.from_folder(folder, "cpu")


def of_diffusers(folder: Path, name: str, trap: bytes) -> object:
    exchange.export(tiny.random_checkpoint(folder / "model"), folder / "theirs")
    folder /= "theirs"
    if name.endswith(".bin"):
        (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    write(folder / name, trap)
    return exchange.take(folder, folder / "out")


def in_zip(folder: Path, trap: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr("a.png", trap)
    return folder / "images.zip"


def in_tar(folder: Path, trap: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "images.tar", "w") as archive:
        entry = tarfile.TarInfo("a.png")
        entry.size = len(trap)
        archive.addfile(entry, io.BytesIO(trap))
    return folder / "images.tar"


def a_review(folder: Path, trap: bytes) -> object:
    images = np.zeros((4, 8, 8, 1), np.uint8)
    made = session.start(images, images, count=2, seed=0, conditions={}, folder=folder)
    write(made.path, trap)
    return session.start(images, images, count=2, seed=0, conditions={}, folder=folder)


def a_command(*words: str) -> None:
    """`ddpm ...` must end with an error message."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 1, done.output
    assert "error: " in done.output
    assert "Traceback" not in done.output
    raise ValueError(done.output)


READERS: dict[str, Callable[[Path, bytes], object]] = {
    "an array": lambda at, trap: files.read_npy(write(at / "a.npy", trap)),
    "an array in place": lambda at, trap: files.read_npy(write(at / "a.npy", trap), memory_map=True),
    "tensors": lambda at, trap: files.read_tensors(write(at / "a.safetensors", trap)),
    "JSON": lambda at, trap: files.read_json(write(at / "a.json", trap)),
    "parameters": lambda at, trap: params.load(write(at / "params.yaml", trap)),
    "a model": lambda at, trap: checkpoint.load(a_checkpoint(at, checkpoint.WEIGHTS, trap)),
    "a model's raw weights": lambda at, trap: checkpoint.load(a_checkpoint(at, checkpoint.RAW, trap), weights="raw"),
    "a model's config": lambda at, trap: checkpoint.load(a_checkpoint(at, checkpoint.CONFIG, trap)),
    "weights to start from": lambda at, trap: checkpoint.starting(a_checkpoint(at, checkpoint.WEIGHTS, trap), {}),
    "the state of a training": a_state,
    "prepared images": lambda at, trap: prepared_images(at, "images.npy", trap),
    "prepared labels": lambda at, trap: prepared_images(at, "labels.npy", trap),
    "the split": lambda at, trap: prepared_images(at, "heldout.npy", trap),
    "the manifest": lambda at, trap: prepared_images(at, "manifest.json", trap),
    "a profile": lambda at, trap: (
        files.write_json(at / profile.HEAD, {"version": 1}), write(at / profile.ROWS, trap), profile.load(at),
    ),
    "moments": lambda at, trap: reference.read_moments(write(at / reference.REFERENCE, trap)),
    "a classifier": lambda at, trap: features(at, extractor_store.WEIGHTS, trap),
    "which classifier": lambda at, trap: features(at, extractor_store.EXTRACTOR, trap),
    "Inception": lambda at, trap: extractor_store.open_published(
        "inception", str(write(at / "inception.pth", trap)), "clean", "cpu"
    ),
    "EfficientNet": lambda at, trap: efficientnet.from_published(trap, files.sha256_bytes(trap)),
    "DINOv2": lambda at, trap: DinoV2Extractor(trap, "clean", files.sha256_bytes(trap)),
    "statistics": lambda at, trap: reference_file.read(write(at / "a.npz", trap)),
    "statistics in tensors": lambda at, trap: reference_file.read(write(at / "a.safetensors", trap)),
    "a part of a large set": lambda at, trap: some_parts(at, "000000000.npy", trap),
    "which large set": lambda at, trap: some_parts(at, chunks.JOB, trap),
    "the spool": lambda at, trap: (write(at / "events.jsonl", trap + b"\n"), Spool(at).read(0)),
    "a review": a_review,
    "an image": lambda at, trap: (write(at / "a.png", trap), sets.open_set(at)),
    "an image in a zip": lambda at, trap: sets.open_set(in_zip(at, trap)),
    "an image in a tar": lambda at, trap: sets.open_set(in_tar(at, trap)),
    "an archive": lambda at, trap: sets.open_set(write(at / "images.zip", trap)),
    "a set of images": lambda at, trap: sets.open_set(write(at / "images.npy", trap)),
    "a set in a pickle": lambda at, trap: sets.open_set(write(at / "images.pkl", trap)),
    "weights of diffusers": lambda at, trap: of_diffusers(at, "unet/diffusion_pytorch_model.safetensors", trap),
    "a .bin of diffusers": lambda at, trap: of_diffusers(at, "unet/diffusion_pytorch_model.bin", trap),
    "the config of diffusers": lambda at, trap: of_diffusers(at, "unet/config.json", trap),
    "ddpm score": lambda at, trap: a_command(
        "score", "--real", str(write(at / "a.npy", trap)), "--fake", str(write(at / "b.npy", trap))
    ),
    "ddpm sample": lambda at, trap: a_command(
        "sample", "--model", str(a_checkpoint(at, checkpoint.WEIGHTS, trap)), "--count", "1", "--out", str(at / "x.png")
    ),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_a_pickle_is_refused_in_words_and_not_opened(reader: str, trap: bytes, tmp_path: Path) -> None:
    try:
        with pytest.raises((ValueError, OSError)) as refused:
            READERS[reader](tmp_path / "place", trap)
    finally:
        assert not (tmp_path / "sprung").exists(), "it was unpickled"
    assert len(str(refused.value)) > 10


@pytest.mark.slow
def test_a_registered_model_whose_place_a_pickle_took_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """It is refused by the process that loads every version before an alias moves."""
    model = tmp_path / "model"
    pack.pack(tiny_checkpoint, model, {})
    described = (model / "MLmodel").read_text()
    assert "loader_module: mlflow.pyfunc.loaders.code_model" in described
    described = described.replace("mlflow.pyfunc.loaders.code_model", "mlflow.pyfunc.model")
    (model / "MLmodel").write_text(re.sub("model_code_path: .*", "python_model: python_model.pkl", described))
    write(model / "python_model.pkl", plain(tmp_path / "sprung"))
    answer = _in_clean_process(str(model), 500)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(VerificationError, match="MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
        _facts(str(model), answer)
