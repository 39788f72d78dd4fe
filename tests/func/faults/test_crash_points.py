"""Every stage exits at chosen atomic writes; the same stage, run again, leaves what an undisturbed one leaves."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from ddpm.common import files
from ddpm.config import presets
from tests.support import crashing

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
STAGES = ("prepare", "features", "train", "sample", "evaluate")
POINTS = 20
CHANGES: dict[str, dict[str, Any]] = {
    "net": {"channels": 8, "head_channels": 8, "groups": 4, "dropout": 0.1},
    "features": {"images": 2000, "width": 4, "lr": 0.01},
    "train": {"images": 320, "batch": 8, "warmup": 80, "log_every": 80, "sample_every": 160, "checkpoint_every": 40},
    "sample": {"count": 100, "steps": 2, "batch": 50, "strip": 3},
    "evaluate": {"splits": 2, "blocks": 2, "neighbours": 4, "grid": 5},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which every stage has run once; read only."""
    folder = tmp_path_factory.mktemp("undisturbed") / "project"
    generator = np.random.default_rng(0)
    for i in range(400):
        path = folder / "data" / str(i % 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 100, (8, 8)) + 150 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    settings = presets.values(ROOT / "presets" / "quick.yaml")
    for section, values in CHANGES.items():
        settings[section].update(values)
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(settings, file)
    for stage in STAGES:
        assert crashing.run(folder, stage) == 0, (folder / f"{stage}.log").read_text()
    return folder


@pytest.mark.parametrize("number", range(POINTS))
def test_a_stage_that_ends_at_a_write_is_completed_by_the_next_run(
    undisturbed: Path, tmp_path: Path, number: int
) -> None:
    """The points are spread evenly over all writes of all stages."""
    every = [(stage, k) for stage in STAGES for k in range(1, crashing.writes(undisturbed, stage) + 1)]
    stage, at = every[number * len(every) // POINTS]
    project = Path(shutil.copytree(undisturbed, tmp_path / "project"))
    for path in (project / "out" / stage, project / ".state" / stage):
        files.remove(path)
    assert crashing.run(project, stage, at) == crashing.KILLED
    assert content(project, stage) != content(undisturbed, stage) or at == crashing.writes(undisturbed, stage)
    assert crashing.run(project, stage) == 0, (project / f"{stage}.log").read_text()
    assert content(project, stage) == content(undisturbed, stage)
    assert not list(project.rglob(".*.part"))


def content(project: Path, stage: str) -> dict[str, str]:
    """Hashes of all that a stage has left."""
    folder = project / "out" / stage
    return {str(path.relative_to(folder)): files.sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def test_there_are_points_in_every_stage(undisturbed: Path) -> None:
    counts = {stage: crashing.writes(undisturbed, stage) for stage in STAGES}
    assert all(counts.values()), counts
    assert sum(counts.values()) >= POINTS
