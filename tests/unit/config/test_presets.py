"""Presets give complete, commented files, params.yaml is that of the default, and dvc.yaml asks for keys that exist."""

import re
from pathlib import Path

import pytest

from ddpm.cli.edit import flat
from ddpm.common import yaml_file
from ddpm.config import params, presets

ROOT = Path(__file__).parents[3]
PRESETS = list(presets.paths(ROOT / "presets").values())


def test_the_promised_presets_are_there() -> None:
    assert {path.stem for path in PRESETS} >= {
        "quick",
        "mnist",
        "mnist-long",
        "mnist-x0",
        "mnist-fast",
        "cifar10",
        "images64",
        "vp-sde",
        "ve-sde",
        "edm",
        "flow",
        "dit",
    }


def test_the_committed_params_yaml_is_what_is_written_for_the_default() -> None:
    """After a change of a description, default or range: `ddpm preset mnist`."""
    assert presets.text(ROOT / "presets/mnist.yaml") == (ROOT / "params.yaml").read_text()
    assert presets.load(ROOT / "presets/mnist.yaml") == params.Params()


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_gives_a_complete_valid_file(path: Path) -> None:
    value = yaml_file.parse(presets.text(path), path.stem)
    assert value == presets.values(path)
    assert params.parse(value) == presets.load(path)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_names_only_what_differs_from_the_defaults(path: Path) -> None:
    overlay, complete = params.read_yaml(path), presets.load(path)
    for name, keys in overlay.items():
        section = getattr(complete, name)
        default = getattr(params.Params(), name)
        kind = params.Params.model_fields[name].discriminator
        for key in keys:
            usual = getattr(default if key == kind else type(section)(), key)
            assert getattr(section, key) != usual, f"{name}.{key}"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_key_has_a_one_line_comment_and_the_file_a_heading(path: Path) -> None:
    lines = presets.text(path).splitlines()
    assert lines[0].startswith("# ")
    assert lines[: len(presets.header(path))] == path.read_text().splitlines()[: len(presets.header(path))]
    keys = [line for line in lines if re.match(r"  \w+:", line)]
    assert len(keys) == len(flat(presets.values(path)))
    assert [line for line in keys if not re.search(r"\s# \S", line)] == []


def test_an_overlay_may_change_keys_of_a_section_without_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("# One's own.\nnet: {groups: 4}\ndiffusion: {steps: 500}\n")
    found = presets.load(path)
    assert (found.net.kind, found.net.groups, found.diffusion.process) == ("unet", 4, "ddpm")  # type: ignore[union-attr]
    path.write_text("net: {kind: dit, groups: 4}\ntrain: {lr: -1.0}\nflaw: {}\n")
    with pytest.raises(params.ParamsError) as error:
        presets.load(path)
    assert "net.groups is not a parameter; valid: kind, patch" in str(error.value)
    assert "train.lr = -1.0: input should be greater than 0" in str(error.value)
    assert "flaw is not a parameter; did you mean flow?" in str(error.value)


def test_dvc_yaml_asks_for_parameters_that_exist() -> None:
    stages = params.read_yaml(ROOT / "dvc.yaml")["stages"]
    asked = {key for stage in stages.values() for key in stage.get("params", [])}
    assert asked
    assert asked <= set(flat(params.read_yaml(ROOT / "params.yaml"))) | set(params.Params.model_fields)


def test_a_new_limit_of_drift_prepares_nothing_anew_and_every_other_key_of_prepare_does() -> None:
    asked = params.read_yaml(ROOT / "dvc.yaml")["stages"]["prepare"]["params"]
    keys = {f"prepare.{key}" for key in params.Prepare.model_fields}
    assert keys - set(asked) == {"prepare.max_drift"}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_intervals_are_reached_within_the_budget(path: Path) -> None:
    """A run that never logs or saves would be a mistake in the file, though it is allowed."""
    train = presets.load(path).train
    assert max(train.log_every, train.sample_every, train.checkpoint_every) <= train.images


def test_published_recipes() -> None:
    """Ho et al. 2020, appendix B, for CIFAR-10: batch 128, 800,000 steps, and the rest."""
    found = presets.load(ROOT / "presets/cifar10.yaml")
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
