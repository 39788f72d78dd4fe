"""A clock that jumps backwards: order comes from numbers that only grow, never from times."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm import registry, tracking
from ddpm.registry.versions import CONTENT_TAG, VERIFIED_TAG
from ddpm.training import state
from tests.support import tiny
from tests.support.records import DIGEST, points

NAME = "digits"
DAY = 86_400


@pytest.fixture
def set_back(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Each call sets the clock of this process, MLflow's included, back by a day."""

    def back() -> None:
        now, exact = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: now() - DAY)
        monkeypatch.setattr(time, "time_ns", lambda: exact() - DAY * 10**9)

    return back


def test_the_audit_trail_keeps_its_order(project: Path, set_back: Callable[[], None]) -> None:
    connection = tracking.client()
    connection.create_registered_model(NAME)
    for number in (1, 2):
        tags = {CONTENT_TAG: str(number), VERIFIED_TAG: "{}"}
        connection.create_model_version(NAME, (project / str(number)).as_uri(), tags=tags)
    registry.promote(NAME, 1, why="first", expected_champion=None)
    set_back()
    registry.promote(NAME, 2, why="better", expected_champion=1)
    set_back()
    registry.rollback(NAME)
    moves = registry.history(NAME)
    assert [(each.kind, each.target, each.outcome) for each in moves] == [
        ("promote", 1, "done"),
        ("promote", 2, "done"),
        ("rollback", 1, "done"),
    ]
    assert moves[0].when > moves[1].when > moves[2].when  # the clock did go back
    assert dict(registry.status(NAME).aliases) == {"champion": 1}
    assert not registry.rollback(NAME).changed  # it still knows that the last move was one


def test_a_training_that_is_continued_yesterday_is_one_run_with_every_point(
    project: Path, set_back: Callable[[], None]
) -> None:
    for images in (100, 200):
        with tracking.Tracker(DIGEST, interval=0.05) as tracker:
            tracker.start({"train.lr": "0.1"}, {})
            tracker.metrics(images, {"loss": 1 / images})
            if images == 200:
                tracker.finish("FINISHED")
        set_back()
    run_id = tracking.run_of(DIGEST)
    assert run_id is not None
    assert tracking.complete(DIGEST, {"fid": 30.0}) == run_id
    assert points(run_id, "train/loss") == [(100, 0.01), (200, 0.005)]
    run = tracking.client().get_run(run_id)
    assert run.data.metrics["train/loss"] == 0.005  # the last by images, not by time
    assert run.info.status == "FINISHED"


def test_the_checkpoint_of_the_most_images_wins_whatever_its_time(tmp_path: Path) -> None:
    ahead = time.time() + DAY
    for step in (2, 10):
        training = tiny.training()
        training.step, training.history = step, [{"images": step, "loss": 0.1}]
        state.save(training, tmp_path, keep=2)
        if step == 2:  # saved before the clock went back
            for path in (*(tmp_path / "step-000000002").iterdir(), tmp_path / "step-000000002"):
                os.utime(path, (ahead, ahead))
    restored = tiny.training()
    assert state.restore(restored, tmp_path)
    assert restored.step == 10
    restored.step = 12
    state.save(restored, tmp_path, keep=1)
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000000012"]


def test_the_state_of_the_training_at_work_stays_among_older_ones_from_tomorrow(tmp_path: Path) -> None:
    ahead = time.time() + DAY
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (ahead, ahead))
    (tmp_path / "now").mkdir()
    state.prune_digests(tmp_path, "now")
    assert (tmp_path / "now").is_dir()
    assert len(list(tmp_path.iterdir())) == state.DIGESTS_KEPT
