"""The summary of a variant's seeds against hand calculations."""

import math
from pathlib import Path

import pytest
from scipy import stats

from ddpm.common import files
from ddpm.trials import records, rows
from ddpm.trials.records import Record


def record(name: str, ours: float | None, theirs: float, promote: bool) -> Record:
    made = Record(name, {"train.lr": 0.1}, 0, 1.0, {}, "", "", state="finished", verdict={"promote": promote})
    compared = {"candidate": {"fid": ours}, "champion": {"fid": theirs}}
    files.write_json(records.folder(name) / records.COMPARISON, compared)
    return made


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_mean_change_has_the_interval_over_seeds() -> None:
    pairs = [(0.9, 1.0), (0.8, 1.1), (1.0, 1.2)]
    group = [record(f"trial-{number}", *pair, promote=number == 1) for number, pair in enumerate(pairs)]
    changes = [math.log(ours / theirs) for ours, theirs in pairs]
    low, high = stats.t.interval(0.95, 2, loc=sum(changes) / 3, scale=stats.sem(changes))
    assert rows.combined(group) == (
        f"FID is {1 - math.exp(sum(changes) / 3):.0%} lower on average, 95% interval {1 - math.exp(low):.0%} lower to "
        f"{math.exp(high) - 1:.0%} higher, which may be chance; the gate would promote 1 of 3 seeds"
    )


def test_a_clear_change_is_not_called_chance_and_a_large_one_is_a_factor() -> None:
    group = [record("one", 3.0, 1.0, promote=False), record("two", 3.03, 1.0, promote=False)]
    text = rows.combined(group)
    assert text.startswith("FID is 3.01 times as high on average")
    assert "chance" not in text


def test_one_seed_or_a_score_that_is_missing_has_no_summary() -> None:
    one = record("one", 3.0, 1.0, promote=False)
    assert rows.combined([one]) == ""
    assert rows.combined([one, record("two", None, 1.0, promote=False)]) == ""


def test_an_interrupted_trial_is_told_from_a_running_one() -> None:
    from ddpm.common.locks import locked

    running = Record("one", {}, 0, 1.0, {}, "", "")
    assert records.shown_state(running) == "interrupted"
    with locked(records.LOCK, "busy"):
        assert records.shown_state(running) == "running"
