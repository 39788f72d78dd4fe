"""Every preset is a complete, valid, commented file, and dvc.yaml asks for keys that exist."""

import re
from pathlib import Path

import pytest

from ddpm.cli.edit import flat
from ddpm.config import params

ROOT = Path(__file__).parents[1]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))
FILES = [ROOT / "params.yaml", *PRESETS]


def test_the_promised_presets_are_there() -> None:
    assert {path.stem for path in PRESETS} >= {
        "quick",
        "mnist",
        "mnist-long",
        "cifar10",
        "images64",
        "vp-sde",
        "ve-sde",
        "edm",
        "dit",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_valid_and_complete(path: Path) -> None:
    """No key has a default: what loads is complete."""
    assert set(flat(params.read_yaml(path))) == set(params.flatten(params.load(path)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_key_has_a_one_line_comment_and_the_file_a_heading(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    keys = [line for line in lines if re.match(r"  \w+:", line)]
    assert len(keys) == len(flat(params.read_yaml(path)))
    assert [line for line in keys if not re.search(r"\s# \S", line)] == []


def test_the_default_is_the_preset_mnist() -> None:
    assert (ROOT / "presets/mnist.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_dvc_yaml_asks_for_parameters_that_exist() -> None:
    stages = params.read_yaml(ROOT / "dvc.yaml")["stages"]
    asked = {key for stage in stages.values() for key in stage.get("params", [])}
    assert asked
    assert asked <= set(flat(params.read_yaml(ROOT / "params.yaml"))) | set(params.Params.model_fields)


def test_a_new_limit_of_drift_prepares_nothing_anew_and_every_other_key_of_prepare_does() -> None:
    asked = params.read_yaml(ROOT / "dvc.yaml")["stages"]["prepare"]["params"]
    keys = {f"prepare.{key}" for key in params.Prepare.model_fields}
    assert keys - set(asked) == {"prepare.max_drift"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_intervals_are_reached_within_the_budget(path: Path) -> None:
    """A run that never logs or saves would be a mistake in the file, though it is allowed."""
    train = params.load(path).train
    assert max(train.log_every, train.sample_every, train.checkpoint_every) <= train.images


def test_published_recipes() -> None:
    """Ho et al. 2020, appendix B, for CIFAR-10: batch 128, 800,000 steps, and the rest."""
    found = params.load(ROOT / "presets/cifar10.yaml")
    train, net, diffusion = found.train, found.net, found.diffusion
    assert train.images == 800_000 * train.batch == 102_400_000
    assert train.warmup == 5_000 * train.batch
    assert train.ema == round(train.batch / (1 - 0.9999))
    assert (train.optimizer, train.lr, train.clip, train.flip) == ("adam", 2e-4, 1.0, True)
    assert (net.channels, net.multipliers, net.blocks, net.attention) == (128, (1, 2, 2, 2), 2, (16,))
    assert (net.dropout, net.groups, net.patch, net.scale_shift) == (0.1, 32, 1, False)
    assert (diffusion.steps, diffusion.schedule, diffusion.prediction) == (1000, "linear", "eps")
    assert (diffusion.beta_start, diffusion.beta_end, diffusion.weighting) == (1e-4, 0.02, "simple")
    assert (found.sample.sampler, found.sample.steps, found.sample.count) == ("ddpm", 1000, 50_000)
