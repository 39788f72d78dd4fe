"""Variants of training: start from a checkpoint, learn the variance, super-resolution."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner

from ddpm.cli import app
from ddpm.common import files
from ddpm.config import params, presets
from ddpm.model import checkpoint, power_ema
from ddpm.sampling.to_folder import small_heldout
from ddpm.stages import prepare, sample, train
from ddpm.training import setup, snapshots
from tests.support import tiny

PRESET = Path(__file__).parents[3] / "presets/quick.yaml"
SMALL: dict[str, dict[str, Any]] = {
    "net": {"channels": 8, "head_channels": 8, "groups": 4},
    "train": {"images": 320, "warmup": 32, "log_every": 160, "sample_every": 320, "checkpoint_every": 160, "ema": 0},
    "sample": {"count": 50, "steps": 3, "batch": 5, "strip": 2, "guidance": 1.0, "guidance_interval": None},
    "evaluate": {"blocks": 1},
}


def write_params(**changes: dict[str, Any]) -> None:
    yaml = YAML(typ="safe")
    settings = presets.values(PRESET)
    for section, values in [*SMALL.items(), *changes.items()]:
        settings[section].update(values)
    with Path("params.yaml").open("w") as file:
        yaml.dump(settings, file)


@pytest.fixture
def ready(project: Path) -> Path:
    """A project with prepared images: blocks of 2 x 2 pixels, each of a grey of its own."""
    random = np.random.default_rng(0)
    for number in range(400):
        pixels = np.kron(random.integers(0, 256, (4, 4)), np.ones((2, 2)))
        path = Path("data", str(number % 2), f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    write_params()
    prepare.main()
    return project


MODEL = Path("out/train/model")


def test_training_starts_from_a_checkpoint(ready: Path) -> None:
    train.main()
    first = files.read_tensors(MODEL / checkpoint.WEIGHTS)
    MODEL.rename("base")
    write_params(train={"initial": "base", "images": 32, "lr": 1e-9, "warmup": 0})
    train.main()
    tuned = files.read_tensors(MODEL / checkpoint.WEIGHTS)
    assert max((tuned[name] - first[name]).abs().max().item() for name in first) < 1e-7
    assert checkpoint.read_config(MODEL).source["initial_sha256"] == files.sha256_file(
        Path("base") / checkpoint.WEIGHTS
    )


FEW_STEPS: dict[str, dict[str, Any]] = {
    "train": {"initial": "base", "objective": "consistency", "hops": 4},
    "sample": {"sampler": "consistency", "steps": 2, "spacing": "trailing"},
}


def test_a_consistency_model_is_distilled_and_samples_in_two_evaluations(ready: Path) -> None:
    train.main()
    MODEL.rename("base")
    write_params(**FEW_STEPS)
    train.main()
    config = checkpoint.read_config(MODEL)
    assert config.objective == "consistency"
    base, tuned = (files.read_tensors(each / checkpoint.WEIGHTS) for each in (Path("base"), MODEL))
    assert max((tuned[name] - base[name]).abs().max().item() for name in base) > 1e-3
    sample.main()
    assert files.read_npy(Path("out/sample/images.npy")).shape == (50, 8, 8, 1)

    write_params(train=FEW_STEPS["train"] | {"teacher_guidance": 1.0}, sample=FEW_STEPS["sample"])
    train.main()
    plain = files.read_tensors(MODEL / checkpoint.WEIGHTS)
    assert any((tuned[name] != plain[name]).any() for name in tuned)
    MODEL.rename("student")
    write_params(train={"initial": "student"})
    with pytest.raises(ValueError, match=r"train\.initial = student: a training needs a denoiser, and this is a"):
        train.main()
    write_params(**FEW_STEPS, diffusion={"prediction": "eps"})
    with pytest.raises(ValueError, match=r"diffusion\.prediction is 'v' there and 'eps' here"):
        train.main()


def test_an_unlabelled_checkpoint_learns_classes(ready: Path) -> None:
    """At first, every label, and none, gives the output of the unlabelled model."""
    write_params(train={"initial": "base", "images": 96, "warmup": 0})
    settings = params.load()
    net, diffusion = settings.net.model_dump(mode="json"), settings.diffusion.model_dump(mode="json")
    image = {"resolution": 8, "channels": 1, "classes": [], "label_dropout": 0.0}
    tiny.random_checkpoint(Path("base"), {"image": image, "net": net, "diffusion": diffusion})
    train.main()
    config, base = checkpoint.read_config(MODEL), checkpoint.load(Path("base")).denoiser
    first = setup.new_state(config, settings.train, torch.device("cpu"), Path("base")).denoiser.eval()
    y, sigma = torch.randn(3, 1, 8, 8), torch.tensor([0.1, 1.0, 10.0])
    with torch.no_grad():
        for label in (0, 1, 2):
            torch.testing.assert_close(first(y, sigma, torch.full((3,), label)), base(y, sigma), rtol=0, atol=1e-6)
    rows = files.read_tensors(MODEL / checkpoint.WEIGHTS)[checkpoint.EMBEDDED_CLASSES]
    assert rows.shape == (3, 32)
    assert (rows[0] != rows[1]).any()  # and then it learns to tell them apart


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": {"channels": 16}}, r"net\.channels is 8 there and 16 here"),
        ({"diffusion": {"variance": "learned"}}, r"diffusion\.variance is 'fixed' there and 'learned' here"),
        ({"prepare": {"labels": "none"}}, r"image\.classes is \['0', '1'\] there and \[\] here"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(
    ready: Path, changes: dict[str, dict[str, Any]], message: str
) -> None:
    train.main()
    MODEL.rename("base")
    write_params(
        **{**changes, "train": {"initial": "base"}}, features={"extractor": "inception", "weights": "none.pth"}
    )
    with pytest.raises(ValueError, match=message):
        train.main()


def test_a_learned_variance_is_trained_and_drawn_with(ready: Path) -> None:
    write_params(
        diffusion={"variance": "learned", "prediction": "eps", "weighting": "simple"},
        sample={"sampler": "ddpm", "variance": "learned", "spacing": "uniform", "steps": 6},
    )
    train.main()
    sample.main()
    assert files.read_tensors(MODEL / checkpoint.WEIGHTS)["net.conv_out.weight"].shape[0] == 2
    assert files.read_npy(Path("out/sample/images.npy")).shape == (50, 8, 8, 1)


def test_super_resolution_keeps_what_it_was_given(ready: Path) -> None:
    """Enlarged held-out images, averaged again, come nearer to their small ones than to those of another image."""
    write_params(diffusion={"condition": "low-resolution-2"}, train={"images": 3200, "log_every": 800},
                 sample={"steps": 8})  # fmt: skip
    train.main()
    sample.main()
    drawn = files.read_npy(Path("out/sample/images.npy")).astype(float)
    config = checkpoint.read_config(MODEL)
    low_res, labels = small_heldout(config, len(drawn))
    assert low_res is not None
    assert labels == files.read_npy(Path("out/sample/labels.npy")).tolist()
    averaged = drawn.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    own = np.abs(averaged - low_res).mean()
    other = np.abs(averaged - np.roll(low_res, 1, axis=0)).mean()
    assert own < 0.5 * other


def test_the_average_is_chosen_by_heldout_loss_and_any_other_is_made_afterwards(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "ASIDE", 0.2)
    write_params(train={"ema": "auto", "snapshots": 8})
    train.main()
    chosen = checkpoint.read_config(MODEL).source["ema"]
    assert chosen["losses"][f"{chosen['length']:g}"] == min(chosen["losses"].values())
    assert len(set(chosen["losses"].values())) == len(chosen["losses"]) > 4
    kept = power_ema.read(Path("out/train/ema"))
    assert kept.steps[-1] == 10
    weights = files.read_tensors(MODEL / checkpoint.WEIGHTS)
    for name, tensor in power_ema.reconstruct(kept, chosen["length"]).items():
        assert torch.equal(weights[name], tensor)

    made = CliRunner().invoke(app, ["ema", "--length", "0.1"])
    assert made.exit_code == 0, made.output
    other = files.read_tensors(Path("ema-0.1") / checkpoint.WEIGHTS)
    assert all(torch.equal(other[name], tensor) for name, tensor in power_ema.reconstruct(kept, 0.1).items())
    assert checkpoint.read_config(Path("ema-0.1")).source["ema"] == {"length": 0.1}
    drawn = CliRunner().invoke(app, ["sample", "--model", "ema-0.1", "--count", "2", "--steps", "3", "--out", "x.npy"])
    assert drawn.exit_code == 0, drawn.output
    assert files.read_npy(Path("x.npy")).shape == (2, 8, 8, 1)
    index = Path("out/train/ema/index.json")
    files.write_json(index, files.read_json(index) | {"digest": "0" * 64})
    assert (
        "the snapshots and the model in out/train are from different trainings"
        in CliRunner().invoke(app, ["ema", "--length", "0.07"]).stderr
    )
    files.write_json(index, files.read_json(index) | {"digest": checkpoint.read_config(MODEL).digest})
    for arguments, said in ((["0.1"], "ema-0.1 exists already"), (["0.3"], "below 0.2887"), (["0.005"], "snapshots")):
        refused = CliRunner().invoke(app, ["ema", "--length", *arguments])
        assert (refused.exit_code, said in refused.stderr) == (1, True), refused.output


def test_without_snapshots_no_average_is_tracked(ready: Path) -> None:
    write_params(train={"snapshots": 0})
    train.main()
    assert not Path("out/train/ema").exists()
    assert "has no snapshots of averaged weights" in CliRunner().invoke(app, ["ema", "--length", "0.1"]).stderr
    write_params(train={"ema": "auto", "snapshots": 3})
    with pytest.raises(params.ParamsError, match="needs at least 4 snapshots"):
        train.main()
