"""Training: resuming, randomness, averages, and stopping at what is not finite."""

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ddpm.metrics import loss_gap
from ddpm.training import loop, state
from ddpm.training.batches import Batch, EpochSampler, Loader
from ddpm.training.config import TrainConfig
from ddpm.training.heldout_loss import HeldoutLoss, Plan
from tests.support import tiny
from tests.support.tiny_training import run


def drawn(recipe: TrainConfig, step: int, **options: Any) -> list[Batch]:
    """The micro-batches of a step, with u in place of the noise levels."""
    with Loader(tiny.data(), recipe, lambda u: u, torch.device("cpu"), **options) as loader:
        return list(loader.batches(step))


def first_batch(recipe: TrainConfig, step: int) -> Batch:
    return drawn(recipe, step)[0]


def assert_same(a: state.State, b: state.State) -> None:
    """Equal to the bit: weights, averages, history."""
    for one, other in [(a.denoiser.state_dict(), b.denoiser.state_dict()), (a.ema, b.ema)]:
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert a.history == b.history


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "muon"])
@pytest.mark.parametrize("stop_at", [1, 5, 11, 19])
def test_stopped_and_resumed_equals_uninterrupted_to_the_bit(tmp_path: Path, optimizer: str, stop_at: int) -> None:
    whole = tiny.training(optimizer=optimizer)
    run(whole)

    first = tiny.training(optimizer=optimizer)
    with pytest.raises(loop.TrainingStopped):
        run(first, stop_at=stop_at, save=lambda now: state.save(now, tmp_path, 2))
    second = tiny.training(optimizer=optimizer)
    assert state.restore(second, tmp_path)
    assert second.step == stop_at
    run(second)
    assert_same(whole, second)


def test_a_consistency_model_resumes_to_the_bit_with_dropout(tmp_path: Path) -> None:
    whole, first, second = (tiny.training(objective=tiny.distilling()) for _ in range(3))
    run(whole)
    with pytest.raises(loop.TrainingStopped):
        run(first, stop_at=11, save=lambda now: state.save(now, tmp_path, 2))
    assert state.restore(second, tmp_path)
    run(second)
    assert_same(whole, second)
    plain = tiny.training()
    run(plain)
    assert plain.history != whole.history


def test_previews_and_checkpoints_do_not_change_the_result(tmp_path: Path) -> None:
    plain, watched = tiny.training(), tiny.training()
    run(plain)
    run(watched, preview=lambda i, now: torch.randn(1000), save=lambda now: state.save(now, tmp_path, 2))
    assert_same(plain, watched)


def test_accumulated_micro_batches_equal_one_batch() -> None:
    config = {**tiny.CONFIG, "net": {**tiny.CONFIG["net"], "dropout": 0.0}}
    whole, parts = tiny.training(config), tiny.training(config)
    run(whole)
    run(parts, replace(tiny.TRAIN_CONFIG, accumulation=4))
    for name, tensor in whole.denoiser.state_dict().items():
        torch.testing.assert_close(parts.denoiser.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def test_every_epoch_is_a_permutation_of_its_own() -> None:
    order = EpochSampler(seed=0, count=27)
    positions = torch.cat([order.at(first, 9) for first in range(0, 54, 9)])
    first, second = positions[:27].tolist(), positions[27:].tolist()
    assert sorted(first) == sorted(second) == list(range(27))
    assert first != second
    assert EpochSampler(seed=0, count=27).at(30, 10).tolist() == positions[30:40].tolist()
    assert EpochSampler(seed=1, count=27).at(0, 27).tolist() != first


def test_batches_depend_on_seed_and_step_only() -> None:
    def draw(seed: int, step: int) -> list[Tensor | None]:
        return [each for part in drawn(replace(tiny.TRAIN_CONFIG, seed=seed), step) for each in part]

    once, again, other_step, other_seed = draw(3, 7), draw(3, 7), draw(3, 8), draw(4, 7)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True) if a is not None and b is not None)
    assert not torch.equal(once[2], other_step[2])  # type: ignore[arg-type]
    assert not torch.equal(once[2], other_seed[2])  # type: ignore[arg-type]


def test_levels_are_uniform_and_stratified() -> None:
    recipe = replace(tiny.TRAIN_CONFIG, batch=10)
    draws = torch.stack([first_batch(recipe, i)[1] for i in range(400)])
    assert ((10 * draws).long() == torch.arange(10)).all()  # one in each tenth
    counts = (50 * draws).long().flatten().bincount(minlength=50)
    assert counts.min() > 40
    assert counts.max() < 130


def test_hidden_labels_have_the_asked_share_and_the_null_label() -> None:
    recipe = replace(tiny.TRAIN_CONFIG, label_dropout=0.3)
    labels = torch.cat([first_batch(recipe, i)[3] for i in range(300)])
    assert labels.unique().tolist() == [0, 1, 2]
    assert (labels == 2).float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_heldout_images_are_never_drawn() -> None:
    data = tiny.data()
    data.images[27:] = 255
    with Loader(data, tiny.TRAIN_CONFIG, lambda u: u, torch.device("cpu")) as loader:
        for step in range(40):
            for x, *_ in loader.batches(step):
                assert (x.flatten(1).min(1).values < 1).all()


def test_learning_rate_warms_up_holds_and_falls() -> None:
    recipe = replace(tiny.TRAIN_CONFIG, images=1000, batch=10, lr=1.0, warmup=100, decay=0.5)
    rates = {images: loop.learning_rate(recipe, images) for images in (0, 40, 100, 490, 750, 990)}
    assert rates == pytest.approx({0: 0.1, 40: 0.5, 100: 1.0, 490: 1.0, 750: 0.5, 990: 0.02})
    assert loop.learning_rate(replace(recipe, warmup=0, decay=0.0), 0) == 1.0


def test_average_follows_its_closed_form_on_a_constant_change() -> None:
    training = tiny.training()
    name = next(iter(training.ema))
    training.ema[name].zero_()
    training.denoiser.state_dict()[name].fill_(1.0)
    recipe = replace(tiny.TRAIN_CONFIG, ema=80)
    training.step = 1000  # past the growing horizon
    for _ in range(20):
        loop.update_ema(training, recipe)
    assert training.ema[name].mean().item() == pytest.approx(1 - math.exp(-20 * recipe.batch / 80), rel=1e-5)


def test_without_an_average_both_weights_are_equal() -> None:
    training = tiny.training()
    run(training, replace(tiny.TRAIN_CONFIG, ema=0))
    assert all(torch.equal(training.ema[k], v) for k, v in training.denoiser.state_dict().items())


def test_the_loss_falls_and_history_has_every_interval() -> None:
    training = tiny.training()
    run(training, replace(tiny.TRAIN_CONFIG, images=1600, log_every=160, lr=5e-3))
    assert [row["images"] for row in training.history] == list(range(160, 1601, 160))
    assert training.history[-1]["loss"] < 0.6 * training.history[0]["loss"]


def test_a_loss_that_is_not_finite_stops_with_step_and_sigma() -> None:
    training = tiny.training()
    training.step = 4
    next(training.denoiser.parameters()).data.fill_(math.nan)
    with pytest.raises(loop.NotFiniteError, match=r"loss is not finite at step 4, for sigma \d"):
        run(training)


def test_a_gradient_that_is_not_finite_stops_with_step_and_sigma() -> None:
    training = tiny.training()
    parameter = next(training.denoiser.parameters())
    parameter.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(loop.NotFiniteError, match=r"gradient is not finite at step 0 \(sigma from"):
        run(training)


def test_bf16_trains_on_the_same_path() -> None:
    training = tiny.training()
    run(training, replace(tiny.TRAIN_CONFIG, precision="bf16"))
    assert all(math.isfinite(row["loss"]) for row in training.history)
    assert all(tensor.dtype == torch.float32 for tensor in training.denoiser.parameters())


def test_history_is_written_without_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ddpm.training.job import write_outputs

    monkeypatch.chdir(tmp_path)
    training = tiny.training()
    schedule = Plan(images=2, interval=3)
    run(training, heldout=HeldoutLoss(tiny.data(), torch.arange(27, 30), tiny.TRAIN_CONFIG, schedule))
    write_outputs(training, tiny.typed())
    rows = list(csv.DictReader(Path("out/train/history.csv").read_text().splitlines()))
    assert list(rows[0]) == ["images", "loss", "lr", "grad_norm", *loss_gap.COLUMNS]
    assert [row["heldout_loss"] != "" for row in rows] == [False] * 2 + [True] + [False] * 2 + [True] * 2
    measured = list(csv.DictReader(Path("out/train/heldout_loss.csv").read_text().splitlines()))
    assert measured == [{key: row[key] for key in measured[0]} for row in rows if row["heldout_loss"]]
    assert [int(row["images"]) for row in rows] == [24, 48, 72, 96, 120, 144, 160]
