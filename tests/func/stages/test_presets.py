"""Each process and backbone that a preset stands for, from images to a registered model, on real 8x8 digits."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from sklearn.datasets import load_digits

from ddpm import registry, tracking
from ddpm.common import files
from ddpm.config import presets
from ddpm.data.prepared import load as load_prepared
from ddpm.model import checkpoint
from ddpm.restore import inputs, outputs, run, tasks
from ddpm.stages import evaluate, features, prepare, sample, train

PRESETS = Path(__file__).parents[3] / "presets"
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
LEARNT_FID = 0.25
"""Each of them comes below this in these seconds (0.06 to 0.15), and none does untrained (0.38 to 1.6)."""


def write_params(name: str, **diffusion: str) -> None:
    """A preset, cut down to 8x8 digits and seconds; with keys of its section diffusion changed."""
    yaml = YAML(typ="safe")
    settings = presets.values(PRESETS / f"{name}.yaml")
    for section, values in SHORT.items():
        settings[section].update(values)
    settings["diffusion"].update(diffusion)
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


def registered(name: str, prepared: Path, project: Path) -> int:
    """The number of the version that the stages and the registry make of the present params.yaml."""
    shutil.copytree(prepared / "out", project / "out")
    train.main()
    sample.main()
    evaluate.main()
    metrics = files.read_json(evaluate.METRICS)
    assert metrics["fid"] < LEARNT_FID
    config = files.read_json(Path("out/train/model/config.json"))
    run_id = tracking.complete(config["digest"], {"fid": metrics["fid"]})
    return registry.register(Path("out/train/model"), name, run_id, metrics)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vp-sde", "ve-sde", "edm", "flow", "dit"])
def test_a_preset_learns_digits_and_its_model_is_registered(name: str, prepared: Path, project: Path) -> None:
    write_params(name)
    number = registered(name, prepared, project)
    if name == "dit":  # the rest packs the same modules
        assert registry.verify(name, number)["shape"][1:] == [8, 8, 1]


@pytest.mark.slow
def test_a_model_of_super_resolution_becomes_champion_and_enlarges(prepared: Path, project: Path) -> None:
    """Enlarged held-out digits are nearer to the originals than with bicubic interpolation."""
    write_params("mnist", condition="low-resolution-2")
    number = registered("enlarging", prepared, project)
    registry.promote("enlarging", number, why="first", expected_champion=None)  # verifies it
    data = load_prepared()
    truth = data.images[data.heldout_indices[:100]]
    small = np.rint(truth.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4))).astype(np.uint8)
    plan = tasks.plan(checkpoint.read_config(Path("out/train/model")), "super-resolution", count=4)
    model = checkpoint.load(registry.download("models:/enlarging@champion"))
    given = inputs.Inputs(tuple(map(str, range(100))), small, None, truth)
    restored = run.restore(model, plan, run.observe(plan, given, model.config.diffusion))
    scores = outputs.scores(plan, restored, truth)
    assert scores["mean of restorations"]["psnr"] > scores["bicubic"]["psnr"] + 1
