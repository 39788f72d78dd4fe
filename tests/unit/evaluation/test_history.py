"""The generalisation gap on its way from history.csv to metrics.json, the gate's table and the report."""

import csv
from pathlib import Path

import pytest

from ddpm.evaluation import gate, history
from ddpm.metrics import loss_gap
from ddpm.report import evaluation_pictures
from tests.support import made_reports, tiny

SIGMAS = [0.02, 0.1, 0.3, 0.6, 1.0, 2.0, 5.0, 20.0]


def written(path: Path, heldout: list[float], training: list[float]) -> Path:
    """A history in which every second row has a measurement, equal at all levels."""
    columns = ["images", "loss", "lr", "grad_norm", *loss_gap.COLUMNS]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        for number, (one, other) in enumerate(zip(heldout, training, strict=True)):
            row = {"images": 200 * number + 100, "loss": 0.5, "lr": 0.001, "grad_norm": 1}
            writer.writerow(row)
            measured = {
                loss_gap.column(name, level): value
                for name, value in zip(loss_gap.SETS, (one, other), strict=True)
                for level in (None, *range(1, 9))
            }
            gap = {loss_gap.GAP: one / other - 1, loss_gap.ERROR: 0.02}
            writer.writerow(row | {"images": 200 * number + 200} | measured | gap)
    return path


def test_the_last_measurement_becomes_an_entry_of_the_metrics(tmp_path: Path) -> None:
    path = written(tmp_path / "history.csv", [1.0, 0.8, 0.9], [1.0, 0.75, 0.6])
    found = history.generalisation(path)["generalisation"]
    assert (found["images"], found["heldout_loss"], found["training_loss"]) == (600, 0.9, 0.6)
    assert (found["gap"], found["gap_se"]) == (0.5, 0.02)
    rising, wide = found["warnings"]
    assert "has risen by 12.5% since image 400" in rising
    assert "50.0% ± 2.0% above training loss" in wide


def test_a_history_without_measurements_gives_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("images,loss,lr,grad_norm\n100,0.5,0.1,1\n")
    assert history.generalisation(path) == {}
    assert [each.name for each in evaluation_pictures.training(path, SIGMAS)] == ["training"]
    path.write_text("images,loss,lr,grad_norm\n")
    with pytest.raises(ValueError, match=r"history\.csv is empty"):
        history.read(path)


def test_the_gap_stands_beside_the_gate_s_scores_and_is_not_judged() -> None:
    plain = gate.decide(made_reports.METRICS, None, max_fid=10.0)
    memorised = made_reports.METRICS | {"generalisation": {"gap": 9.0}}
    found = gate.decide(memorised, None, max_fid=10.0)
    assert (found.verdict, found.reasons) == (plain.verdict, plain.reasons)
    assert found.rows[:-1] == plain.rows
    row = found.rows[-1]
    assert (row.name, row.candidate, row.limit, row.ok) == ("held-out loss gap", 9.0, "", None)
    summary = made_reports.summary(memorised)
    assert made_reports.row(made_reports.composed(memorised, summary=summary), "Held-out loss gap").value == "900%"


def test_the_report_warns_and_plots_every_level(tmp_path: Path) -> None:
    path = written(tmp_path / "history.csv", [1.0, 0.8, 0.9], [1.0, 0.75, 0.6])
    metrics = made_reports.METRICS | history.generalisation(path)
    warnings = made_reports.composed(metrics).headline.warnings
    assert any(
        each.startswith("Held-out loss has risen by 12.5%") and each.endswith("fewer steps.") for each in warnings
    )
    picture = evaluation_pictures.training(path, SIGMAS)[1]
    assert picture.name == "heldout_loss"
    assert "differs from the training loss by 50.0% ± 2.0%" in picture.caption
    assert picture.png == evaluation_pictures.training(path, SIGMAS)[1].png, "equal numbers give equal bytes"
    assert (
        picture.png != evaluation_pictures.training(written(tmp_path / "b.csv", [1.0, 0.8], [1.0, 0.7]), SIGMAS)[1].png
    )


def test_the_plot_s_levels_are_those_that_training_measures() -> None:
    from ddpm.report import schedules

    sigmas = schedules.heldout_loss_sigmas(tiny.typed())
    assert len(sigmas) == loss_gap.LEVELS
    assert sigmas == sorted(sigmas)
