"""A flat folder of pictures, without labels: from `ddpm data use` to scores, without the internet."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm.common import files
from ddpm.config import changes, params, presets
from ddpm.evaluation import reference
from ddpm.metrics import efficientnet, floors
from ddpm.stages import evaluate, features, prepare, sample, train
from tests.func.cli.conftest import run
from tests.support import records
from tests.support.imagefiles import encoded

TINY = {
    "net.channels": 8, "net.head_channels": 8, "net.groups": 4, "net.blocks": 1, "train.images": 320,
    "train.warmup": 32, "train.ema": 64, "train.log_every": 160, "train.sample_every": 320,
    "train.checkpoint_every": 320, "sample.count": 100, "sample.steps": 3, "sample.batch": 50, "sample.strip": 3,
    "evaluate.splits": 2, "evaluate.blocks": 2, "evaluate.neighbours": 2, "evaluate.grid": 4,
}  # fmt: skip


def flat_folder(path: Path, count: int) -> Path:
    """Colour images of 16 x 16: a ramp in a random direction and colour."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:16j, -1:1:16j]
    path.mkdir()
    for number in range(count):
        slope = random.normal(size=2) @ np.stack([x, y]).reshape(2, -1)
        pixels = 127 + 90 * np.tanh(slope.reshape(16, 16, 1)) * random.uniform(-1, 1, 3)
        (path / f"{number:04d}.png").write_bytes(encoded(np.rint(pixels).astype(np.uint8)))
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection except Unix sockets, which start the commands of tests."""
    connect = socket.socket.connect

    def refuse(*address: Any) -> None:
        raise AssertionError(f"a connection to {address} was tried")

    def connect_locally(self: socket.socket, address: Any) -> None:
        connect(self, address) if self.family == socket.AF_UNIX else refuse(address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_a_flat_folder_is_trained_on_and_scored(
    checkout: Path, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "params.yaml").write_text(presets.text(checkout / "presets/quick.yaml"))
    said = run("ddpm", "data", "use", str(flat_folder(tmp_path / "photos", 240)), "--apply", cwd=checkout).stdout
    assert "refuse to begin" not in said
    assert "pip install" not in said
    monkeypatch.chdir(checkout)
    params.PARAMS_FILE.write_text(changes.in_text(params.PARAMS_FILE.read_text(), TINY))
    settings = params.load()
    assert (settings.prepare.labels, settings.features.extractor) == ("none", "auto")
    assert not settings.missing_files()

    records.use_embedded(checkout, empty_database)
    monkeypatch.setattr(floors, "NOISE", 60)
    stages: tuple[Callable[[], None], ...] = (prepare.main, features.main, train.main, sample.main, evaluate.main)
    for stage in stages:
        stage()
    metrics = files.read_json(evaluate.METRICS)
    conditions = metrics["conditions"]
    assert conditions["extractor"] == "efficientnet-lite0"
    assert conditions["extractor_sha256"] == efficientnet.SHA256
    assert (conditions["feature_dimension"], conditions["resize"]) == (1280, "clean")
    assert metrics["fid"] > metrics["fid_halves"] > 0
    assert metrics["floors"]["fid"]["noise"] > 3 * metrics["fid_halves"]
    assert not {"class_accuracy", "class_histogram", "extractor_accuracy"} & metrics.keys()

    extractor, known = reference.load()
    assert (extractor.name, known.train.shape[1]) == ("efficientnet-lite0", 1280)
