"""Each process and backbone that a preset stands for, from images to a registered model, on real 8x8 digits."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from sklearn.datasets import load_digits

from ddpm import files, registry, tracking
from ddpm.stages import evaluate, features, prepare, sample, train

PRESETS = Path(__file__).parents[2] / "presets"
SMALL_NETS: dict[str, dict[str, Any]] = {
    "unet": {"channels": 16, "multipliers": [1, 2], "attention": [4], "head_channels": 16, "patch": 1},
    "dit": {"patch": 2, "width": 48, "depth": 2, "heads": 3},
}
SHORT: dict[str, dict[str, Any]] = {
    "prepare": {"resolution": 8},
    "features": {"images": 6000, "width": 8},
    "train": {"images": 6400, "warmup": 640, "ema": 1000, "log_every": 1600, "sample_every": 6400, "lr": 2e-3,
              "checkpoint_every": 6400, "decay": 0.5},
    "sample": {"count": 120, "batch": 120, "strip": 3},
    "evaluate": {"splits": 2, "blocks": 2, "neighbours": 2, "grid": 5},
}  # fmt: skip
NOISE_FID = 15.0
"""Below what any of them reaches in this time, and far below noise."""


def write_params(name: str) -> None:
    """A preset, cut down to 8x8 digits and seconds."""
    yaml = YAML()
    settings = yaml.load((PRESETS / f"{name}.yaml").read_text())
    for section, values in SHORT.items():
        settings[section].update(values)
    settings["net"].update(SMALL_NETS[settings["net"]["kind"]])
    with Path("params.yaml").open("w") as file:
        yaml.dump(settings, file)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, prepared, with their extractor; read only."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, (pixels, label) in enumerate(zip(digits.images[:900], digits.target[:900], strict=True)):
            path = Path("data", str(label), f"{number:04d}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 255 / 16).round().astype(np.uint8)).save(path)
        write_params("mnist")
        prepare.main()
        features.main()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vp-sde", "ve-sde", "edm", "dit"])
def test_a_preset_learns_digits_and_its_model_is_registered(name: str, prepared: Path, project: Path) -> None:
    shutil.copytree(prepared / "out", project / "out")
    write_params(name)
    train.main()
    sample.main()
    evaluate.main()
    metrics = files.read_json(evaluate.METRICS)
    assert metrics["fid"] < NOISE_FID
    config = files.read_json(Path("out/train/model/config.json"))
    run_id = tracking.complete(config["digest"], {"fid": metrics["fid"]})
    number = registry.register(Path("out/train/model"), name, run_id, metrics)
    if name == "dit":  # the rest packs the same modules
        assert registry.verify(name, number)["shape"][1:] == [8, 8, 1]
