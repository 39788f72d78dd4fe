"""A project folder whose train stage runs in seconds."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from ruamel.yaml import YAML

from ddpm.common import files
from ddpm.config import presets
from tests.support import forked

ROOT = Path(__file__).parents[2]
SMALL = {
    "net": {"channels": 8, "head_channels": 8, "groups": 4, "dropout": 0.1},
    "train": {
        "images": 1600,
        "batch": 8,
        "warmup": 80,
        "log_every": 80,
        "sample_every": 800,
        "checkpoint_every": 16,
        "flip": True,
    },
    "sample": {"steps": 2},
}


def prepare_project(folder: Path, images: int, params: dict[str, Any]) -> Path:
    """A project folder with small prepared images; the stages after `prepare` have not run."""
    generator = np.random.default_rng(0)
    for i in range(images):
        path = folder / "data" / str(i % 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    write_params(folder, params)
    done = forked.run([sys.executable, "-m", "ddpm.stages.prepare"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def write_params(folder: Path, changes: dict[str, dict[str, Any]]) -> None:
    yaml = YAML(typ="safe")
    params = presets.values(ROOT / "presets" / "quick.yaml")
    for section, values in changes.items():
        params[section].update(values)
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)


def newest(project: Path) -> str:
    """Name of the newest checkpoint, or nothing."""
    return max((path.name for path in project.glob(".state/train/*/step-*")), default="")


def wait_for_a_checkpoint_after(project: Path, last: str, process: "subprocess.Popen[str] | forked.Process") -> None:
    deadline = time.monotonic() + 120
    while newest(project) <= last:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def paused_between_saves(project: Path, process: "subprocess.Popen[str] | forked.Process") -> Iterator[None]:
    """Suspend the training while the block runs, at a moment when it writes no checkpoint."""
    training = psutil.Process(process.pid)
    while True:
        training.suspend()
        while training.status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        if not list(project.glob(".state/train/*/.step-*")):
            break
        training.resume()
        time.sleep(0.01)
    try:
        yield
    finally:
        training.resume()


def result(project: Path) -> dict[str, str]:
    """Hashes of everything the stage wrote."""
    return {
        str(p.relative_to(project)): files.sha256_file(p) for p in (project / "out/train").rglob("*") if p.is_file()
    }
