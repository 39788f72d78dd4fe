"""Generalisation gap: means and standard error against numpy, and the signs that it gives."""

import numpy as np
import pytest

from ddpm.metrics import loss_gap


def rows(heldout: list[float], training: list[float], error: float = 0.01) -> list[dict[str, float]]:
    """Measurements at images 100, 200, ..., equal at every level."""
    return [
        {"images": 100.0 * number, loss_gap.GAP: one / other - 1, loss_gap.ERROR: error}
        | {loss_gap.column(name, level): value for name, value in zip(loss_gap.SETS, (one, other), strict=True)
           for level in (None, *range(1, loss_gap.LEVELS + 1))}
        for number, (one, other) in enumerate(zip(heldout, training, strict=True), start=1)
    ]  # fmt: skip


def test_a_measurement_is_summed_up_by_means_and_the_error_of_their_difference() -> None:
    losses = np.random.default_rng(0).gamma(2.0, size=(2, loss_gap.LEVELS, 7))
    found = loss_gap.summary(dict(zip(loss_gap.SETS, losses.tolist(), strict=True)))
    heldout, training = losses.mean(axis=(1, 2))
    assert tuple(found) == loss_gap.COLUMNS
    assert (found["heldout_loss"], found["training_loss"]) == pytest.approx((heldout, training))
    assert found["heldout_loss_3"] == pytest.approx(losses[0, 2].mean())
    assert found["training_loss_8"] == pytest.approx(losses[1, 7].mean())
    assert found["heldout_gap"] == pytest.approx(heldout / training - 1)
    error = np.sqrt((losses.var(axis=2, ddof=1) / 7).sum()) / loss_gap.LEVELS / training
    assert found["heldout_gap_se"] == pytest.approx(error)


def test_the_error_is_the_spread_of_the_gap_over_repeated_measurements() -> None:
    random = np.random.default_rng(1)
    found = [
        loss_gap.summary(dict(zip(loss_gap.SETS, random.normal(1, 0.2, (2, loss_gap.LEVELS, 5)).tolist(), strict=True)))
        for _ in range(2000)
    ]
    spread = np.std([each[loss_gap.GAP] for each in found])
    assert np.mean([each[loss_gap.ERROR] for each in found]) == pytest.approx(spread, rel=0.05)


def test_rows_without_a_measurement_are_left_out_from_memory_and_from_a_file() -> None:
    measured = rows([1.0], [0.9])[0]
    kept = [{"images": 50.0, "loss": 1.0}, measured | {"loss": 0.5}]
    read = [{"images": "50", loss_gap.GAP: ""}, {name: str(value) for name, value in measured.items()}]
    assert loss_gap.measured(kept) == loss_gap.measured(read) == [measured]


def test_overfitting_is_reported_once_heldout_loss_rises_while_training_loss_falls() -> None:
    assert loss_gap.rising([]) == ""
    assert loss_gap.rising(rows([1.0, 0.9, 0.8], [1.0, 0.8, 0.7])) == ""
    assert loss_gap.rising(rows([1.0, 0.8, 0.81], [1.0, 0.8, 0.7])) == "", "within the tolerance"
    assert loss_gap.rising(rows([1.0, 0.8, 0.9], [1.0, 0.8, 0.85])) == "", "both rise: training diverges"
    text = loss_gap.rising(rows([1.0, 0.8, 0.9], [1.0, 0.8, 0.6]))
    assert "risen by 12.5% since image 200 while training loss has fallen by 25.0%" in text


@pytest.mark.parametrize(("gap", "error", "reported"), [(0.5, 0.1, True), (0.5, 0.2, False), (0.05, 0.001, False)])
def test_a_gap_is_reported_when_it_is_large_and_beyond_chance(gap: float, error: float, reported: bool) -> None:
    found = loss_gap.warnings(rows([1 + gap], [1.0], error))
    assert bool(found) is reported
    assert all("50.0% ± 10% above training loss" in text for text in found)
