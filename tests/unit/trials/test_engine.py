"""The estimate of the time left, and the speed of a recorded training."""

import json
from pathlib import Path

import pytest

from ddpm.trials import speed
from ddpm.trials.engine import TRAINED, Meter


def test_the_time_left_follows_from_the_images_per_second_of_finished_trials() -> None:
    now = 100.0
    meter = Meter([1000, 2000, 3000], lambda: now)
    meter.begin()
    assert meter.left() is None
    meter.share, now = 0.5, 105.0
    assert meter.left() == pytest.approx(55)  # a hundred images a second: 5 s of this one, 20 and 30 of the others
    now = 120.0
    meter.end()  # 20 s for 1,000 images
    meter.begin()
    now = 130.0
    assert meter.left() == pytest.approx(30 + 60)
    now = 190.0
    assert meter.left() == pytest.approx(60)


def test_the_progress_of_training_is_read_from_its_lines() -> None:
    found = TRAINED.match("train: 12,000 of 57,000 images (21%), 190/s, 3m 57s left, loss 0.0312")
    assert found
    assert found.groups() == ("12,000", "57,000")
    assert not TRAINED.match("sample: 100 of 500 images (20%)")


def test_a_pause_does_not_count_as_training(tmp_path: Path) -> None:
    def metrics(time: int, images: int, **values: float) -> dict[str, object]:
        return {"event": "metrics", "time": time, "images": images, "values": values}

    events = [
        {"event": "start", "time": 1000}, metrics(3000, 32, images_per_second=16.0, heldout_loss=0.5),
        {"event": "start", "time": 60_000}, metrics(61_000, 32, images_per_second=20.0, heldout_loss=0.5),
        metrics(64_000, 64, images_per_second=40.0, heldout_loss=0.25), {"event": "finish", "time": 65_000},
    ]  # fmt: skip
    (tmp_path / "digest").mkdir()
    (tmp_path / "digest/events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    assert speed.speed("digest", tmp_path) == speed.Speed(7.0, 40.0)
    assert [(row["images"], row["heldout_loss"]) for row in speed.heldout("digest", tmp_path)] == [
        (32, 0.5),
        (64, 0.25),
    ]
    assert speed.speed("elsewhere", tmp_path) == speed.Speed()
