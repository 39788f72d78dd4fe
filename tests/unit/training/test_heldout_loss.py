"""Held-out loss during training: its numbers, its cost, and that it changes nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm.diffusion.pixels import to_tensor
from ddpm.metrics import loss_gap
from ddpm.model import build
from ddpm.runtime import randomness
from ddpm.training import heldout_loss, loop, state
from ddpm.training.batches import TrainingSet
from ddpm.training.config import TrainConfig
from ddpm.training.heldout_loss import HeldoutLoss, Plan
from tests.support import tiny
from tests.support.tiny_training import run

HELDOUT = torch.arange(27, 30)
EVERY = Plan(images=5, interval=1)


def measuring(config: TrainConfig = tiny.TRAIN_CONFIG, schedule: Plan | None = EVERY, **known: Any) -> HeldoutLoss:
    return HeldoutLoss(known.get("data", tiny.data()), HELDOUT, config, schedule)


def trained(config: dict[str, Any] = tiny.CONFIG) -> state.State:
    """A training whose EMA differs from its weights."""
    training = tiny.training(config)
    run(training, stop_at=None)
    return training


def plain(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key not in loss_gap.COLUMNS} for row in history]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_measuring_does_not_change_the_training_by_a_bit(precision: str) -> None:
    recipe = replace(tiny.TRAIN_CONFIG, precision=precision)
    without, measured = tiny.training(), tiny.training()
    run(without, recipe)
    run(measured, recipe, heldout=measuring(recipe))
    for one, other in ((without.denoiser.state_dict(), measured.denoiser.state_dict()), (without.ema, measured.ema)):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert plain(measured.history) == without.history
    assert len(loss_gap.measured(measured.history)) == len(measured.history) == 7


def test_no_generator_is_drawn_from_and_weights_and_mode_come_back() -> None:
    training = trained()
    before = {name: tensor.clone() for name, tensor in training.denoiser.state_dict().items()}
    generator, mode = torch.get_rng_state(), training.denoiser.training
    measuring().measure(training)
    assert torch.equal(torch.get_rng_state(), generator)
    assert training.denoiser.training is mode
    assert all(torch.equal(before[name], tensor) for name, tensor in training.denoiser.state_dict().items())


def test_weights_come_back_when_the_measurement_fails() -> None:
    training = trained()
    before = {name: tensor.clone() for name, tensor in training.denoiser.state_dict().items()}
    training.ema = {name: torch.full_like(tensor, torch.nan) for name, tensor in training.ema.items()}
    with pytest.raises(heldout_loss.HeldoutLossError, match="held-out loss is not finite at step 20"):
        measuring().measure(training)
    assert all(torch.equal(before[name], tensor) for name, tensor in training.denoiser.state_dict().items())


@pytest.mark.parametrize("stop_at", [4, 11])
def test_a_resumed_training_measures_the_same_numbers(tmp_path: Path, stop_at: int) -> None:
    whole, first, second = tiny.training(), tiny.training(), tiny.training()
    run(whole, heldout=measuring())
    with pytest.raises(loop.TrainingStopped):
        run(first, stop_at=stop_at, save=lambda now: state.save(now, tmp_path, 2), heldout=measuring())
    assert state.restore(second, tmp_path)
    run(second, heldout=measuring())
    assert second.history == whole.history


@pytest.mark.parametrize("config", [tiny.CONFIG, tiny.unlabelled(), tiny.enlarging()])
def test_the_numbers_are_the_loss_of_the_averaged_network_image_by_image(config: dict[str, Any]) -> None:
    """Computed again one image at a time, by another network that holds the EMA weights."""
    training = trained() if config is tiny.CONFIG else tiny.training(config)
    data = tiny.data(labelled=bool(config["image"]["classes"]))
    recipe = replace(tiny.TRAIN_CONFIG, condition_scale=2 if config == tiny.enlarging() else 0)
    measurement = measuring(recipe, data=data)
    found = measurement.measure(training)
    denoiser = build.denoiser(tiny.typed(config))
    denoiser.load_state_dict(training.ema)
    denoiser.eval()
    losses = []
    for number, index in enumerate(measurement.items.tolist()):
        place = number % (loss_gap.LEVELS * 5)
        x = to_tensor(data.images[index : index + 1])
        noise = torch.randn(1, 8, 8, generator=randomness.generator(recipe.seed, "held-out noise", place))
        sigma = denoiser.process.draw(torch.tensor([(place // 5 + 0.5) / 8], dtype=torch.float64))
        labels = None if data.labels is None else data.labels[index : index + 1]
        small = torch.nn.functional.avg_pool2d(x, 2)
        condition = torch.nn.functional.interpolate(small, scale_factor=2.0, mode="bicubic").clamp(-1, 1)
        with torch.no_grad():
            losses.append(denoiser.loss(x, sigma, noise[None], labels, "output", condition if recipe.condition_scale else None).item())  # fmt: skip  # noqa: E501
    by_level = torch.tensor(losses).view(2, 8, 5).mean(2)
    for name, levels in zip(loss_gap.SETS, by_level, strict=True):
        for level, value in enumerate(levels.tolist(), start=1):
            assert found[loss_gap.column(name, level)] == pytest.approx(value, rel=1e-4)
        assert found[loss_gap.column(name)] == pytest.approx(levels.mean().item(), rel=1e-4)


def test_the_sets_do_not_mix_and_derive_from_the_seed() -> None:
    chosen, again, other = measuring(), measuring(), measuring(replace(tiny.TRAIN_CONFIG, seed=4))
    heldout, training = chosen.items.view(2, -1)
    assert set(heldout.tolist()) == {27, 28, 29}
    assert len(set(training.tolist())) == 27, "a small set is gone through whole before any image is taken again"
    assert torch.equal(chosen.items, again.items)
    assert not torch.equal(chosen.items, other.items)


def test_without_heldout_images_the_remedy_is_named() -> None:
    with pytest.raises(ValueError, match=r"no heldout images .* Raise prepare\.holdout"):
        HeldoutLoss(tiny.data(), torch.arange(0), tiny.TRAIN_CONFIG)


@pytest.mark.parametrize(
    ("images", "log_every"), [(16_000, 800), (102_400, 1600), (102_400, 160), (2_000_000, 1600), (2_000_000, 100_000)]
)
def test_the_measurements_cost_two_percent_of_the_passes_of_training(images: int, log_every: int) -> None:
    recipe = replace(tiny.TRAIN_CONFIG, images=images, batch=32, log_every=log_every)
    schedule = heldout_loss.plan(recipe)
    measurements = sum(schedule.due(recipe, step) for step in range(1, recipe.steps + 1))
    cost = measurements * 16 * schedule.images / (3 * images)
    assert cost <= 0.021
    assert measurements >= 10
    if log_every < images / 100:
        assert cost > 0.018


def test_only_log_points_are_measured_and_always_the_last_step() -> None:
    recipe = replace(tiny.TRAIN_CONFIG, images=3400, log_every=24)
    measurement = measuring(recipe, Plan(images=2, interval=3))
    due = {step for step in range(1, recipe.steps + 1) if measurement.due(step)}
    logged = {step for step in range(1, recipe.steps + 1) if recipe.passes(24, step) or step == recipe.steps}
    assert due < logged
    assert max(due) == recipe.steps
    assert len(due) == pytest.approx(len(logged) / 3, abs=1)


def test_a_network_that_memorises_is_reported() -> None:
    """27 images of pure noise have nothing in common with others: what is learnt of them is memorised."""
    pixels = torch.randint(0, 256, (30, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = TrainingSet(pixels, None, torch.arange(27), 0)
    recipe = replace(tiny.TRAIN_CONFIG, images=8_000, batch=16, lr=1e-2, log_every=1600, ema=1600, flip=False)
    training = tiny.training(tiny.unlabelled({**tiny.CONFIG, "net": {**tiny.CONFIG["net"], "dropout": 0.0}}))
    nothing: Any = lambda *values: None  # noqa: E731
    loop.fit(
        training, data, recipe, log=nothing, preview=nothing, save=nothing, should_stop=lambda: False,
        heldout=HeldoutLoss(data, HELDOUT, recipe, Plan(images=16, interval=1)),
    )  # fmt: skip
    found = loss_gap.measured(training.history)
    assert found[-1][loss_gap.GAP] > 3 * found[-1][loss_gap.ERROR]
    assert any("a sign of memorised training images" in text for text in loss_gap.warnings(found))
