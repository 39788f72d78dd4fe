"""Averages and snapshots of a real short training: reconstruction, resuming, and the choice of a length."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ddpm.common import files
from ddpm.model import power_ema
from ddpm.training import loop, snapshots, state
from tests.support import tiny
from tests.support.tiny_training import run

RECIPE = replace(tiny.TRAIN_CONFIG, images=1600, snapshots=12)


def averaging() -> state.State:
    """A training that tracks the power-function averages."""
    training = tiny.training()
    weights = training.denoiser.state_dict()
    training.averages = {
        length: {name: tensor.clone() for name, tensor in weights.items()} for length in power_ema.LENGTHS
    }
    return training


def flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten().double() for _, tensor in sorted(tensors.items())])


def contents(folder: Path) -> dict[str, str]:
    return {path.name: files.sha256_file(path) for path in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[state.State, Path, list[Tensor]]:
    """An uninterrupted training, its folder, and its weights after every step."""
    folder, training = tmp_path_factory.mktemp("whole"), averaging()
    weights: list[Tensor] = []

    def after_step() -> bool:
        if training.step:
            weights.append(flat(training.denoiser.state_dict()))
        return False

    loop.fit(
        training, tiny.data(), RECIPE, log=lambda images, values: None, preview=lambda images, now: None,
        save=lambda now: state.save(now, folder, 2), should_stop=after_step,
        snapshot=lambda now: snapshots.write(now, folder),
    )  # fmt: skip
    weights.append(flat(training.denoiser.state_dict()))
    return training, folder, weights


@pytest.mark.parametrize("length", [0.02, 0.03, 0.05, 0.08, 0.1, 0.13, 0.2, 0.25])
def test_any_length_is_the_average_of_the_weights_of_every_step(
    finished: tuple[state.State, Path, list[Tensor]], length: float
) -> None:
    _, folder, weights = finished
    edges = torch.arange(len(weights) + 1, dtype=torch.float64) / len(weights)
    wanted = (edges ** (power_ema.exponent(length) + 1)).diff() @ torch.stack(weights)
    kept = power_ema.Snapshots(folder / state.SNAPSHOTS, RECIPE.snapshot_steps)
    found = flat(power_ema.reconstruct(kept, length))
    assert len(weights) == RECIPE.steps
    assert (found - wanted).norm() / wanted.norm() < 1e-3


def test_averages_do_not_change_the_training_by_a_bit(finished: tuple[state.State, Path, list[Tensor]]) -> None:
    plain = tiny.training()
    run(plain, replace(RECIPE, snapshots=0))
    training = finished[0]
    for one, other in ((plain.denoiser.state_dict(), training.denoiser.state_dict()), (plain.ema, training.ema)):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("stop_at", [1, 60, 111])
def test_a_resumed_training_has_the_same_snapshots_to_the_bit(
    finished: tuple[state.State, Path, list[Tensor]], tmp_path: Path, stop_at: int
) -> None:
    """One snapshot is written again after resuming from the checkpoint."""
    hooks = {"save": lambda now: state.save(now, tmp_path, 2), "snapshot": lambda now: snapshots.write(now, tmp_path)}
    with pytest.raises(loop.TrainingStopped):
        run(averaging(), RECIPE, stop_at=stop_at, **hooks)
    second = averaging()
    assert state.restore(second, tmp_path)
    run(second, RECIPE, **hooks)
    assert contents(tmp_path / state.SNAPSHOTS) == contents(finished[1] / state.SNAPSHOTS)
    assert second.snapshots == contents(tmp_path / state.SNAPSHOTS)
    assert len(second.snapshots) == 12


def test_a_checkpoint_whose_snapshots_are_damaged_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = {"save": lambda now: state.save(now, tmp_path, 9), "snapshot": lambda now: snapshots.write(now, tmp_path)}
    run(averaging(), replace(RECIPE, images=160), **hooks)
    newest = max((tmp_path / state.SNAPSHOTS).iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    restored = averaging()
    assert state.restore(restored, tmp_path)
    assert restored.step < 20
    assert "snapshots/step-000000020.safetensors does not match its hash" in capsys.readouterr().out


def test_published_snapshots_are_read_again(finished: tuple[state.State, Path, list[Tensor]], tmp_path: Path) -> None:
    snapshots.publish(finished[1], RECIPE.snapshot_steps, tmp_path / "ema", "d1")
    kept = power_ema.read(tmp_path / "ema")
    assert (kept.steps, kept.lengths, kept.digest) == (RECIPE.snapshot_steps, power_ema.LENGTHS, "d1")
    own = power_ema.Snapshots(finished[1] / state.SNAPSHOTS, RECIPE.snapshot_steps)
    again = power_ema.reconstruct(kept, 0.1)
    for name, tensor in power_ema.reconstruct(own, 0.1).items():
        assert torch.equal(again[name], tensor)


def test_the_length_with_the_lowest_loss_is_chosen(finished: tuple[state.State, Path, list[Tensor]]) -> None:
    """The loss is the distance to the average of length 0.1."""
    kept = power_ema.Snapshots(finished[1] / state.SNAPSHOTS, RECIPE.snapshot_steps)
    wanted = power_ema.reconstruct(kept, 0.1)
    training = averaging()
    length, losses = snapshots.choose(training, kept, lambda now: float((flat(now.ema) - flat(wanted)).norm()))
    assert length == 0.1
    assert set(losses) == set(snapshots.AUTO_LENGTHS)
    assert all(torch.equal(training.ema[name], tensor) for name, tensor in wanted.items())


def test_images_set_aside_are_a_property_of_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2000, 4, 4, 1), dtype=np.uint8)
    images[7] = images[1500]
    indices = np.arange(1000, 2000)
    aside = snapshots.set_aside(images, indices)
    assert aside.sum() == pytest.approx(50, abs=20)
    kept = set(indices[aside].tolist())
    shuffled = np.random.default_rng(1).permutation(2000)
    again = snapshots.set_aside(images[shuffled], np.arange(2000))
    both = set(shuffled[again].tolist())
    assert kept == {index for index in both if index >= 1000}
    assert (7 in both) == (1500 in both)


def test_too_few_images_to_set_aside_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"needs 16 images set aside.*or give train\.ema a number"):
        snapshots.set_aside(np.zeros((20, 4, 4, 1), np.uint8), np.arange(20))
