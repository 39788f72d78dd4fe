"""Killed between numbers and the tag that says they are there, the repeated record has each of them once."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm import tracking
from ddpm.tracking import log
from tests.support.records import DIGEST, points

DRIFT = {"drift": 0.5, "tests": [], "images": {"added": 3}, "feature_distance": None, "verdict": "moved"}


class KilledError(Exception):
    """Stands for the end of the process."""


def run_killed(work: Callable[[], object], module: str, mark: str) -> None:
    """The process ends where `module` is about to set the tag that begins with `mark`."""
    original = log.log_tags

    def log_tags(connection, run_id, tags) -> None:
        if any(key.startswith(mark) for key in tags):
            raise KilledError
        original(connection, run_id, tags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[module], "log_tags", log_tags)
        with pytest.raises(KilledError):
            work()


def complete() -> str:
    return tracking.complete(DIGEST, {"fid": 30.5, "kid": 0.1})


def attach_to(run_id: str) -> None:
    tracking.add_artifacts(run_id, [Path("out/note.txt")], {"seen": 3.0})


def record_drift(run_id: str) -> None:
    tracking.record_drift(run_id, DRIFT)


@pytest.fixture
def run_id(project: Path) -> str:
    (project / "out").mkdir()
    (project / "out/note.txt").write_text("note")
    return complete()


@pytest.mark.usefixtures("project")
def test_scores() -> None:
    run_killed(complete, "ddpm.tracking.record", "ddpm.record")
    run_id = complete()
    assert points(run_id, "eval/fid") == [(0, 30.5)]
    assert points(run_id, "eval/kid") == [(0, 0.1)]
    tracking.complete(DIGEST, {"fid": 20.5})
    assert points(run_id, "eval/fid") == [(0, 20.5), (0, 30.5)]
    assert tracking.client().get_run(run_id).data.metrics["eval/fid"] == 20.5


def test_what_is_attached(run_id: str) -> None:
    run_killed(lambda: attach_to(run_id), "ddpm.tracking.add_artifacts", "ddpm.attached.")
    attach_to(run_id)
    assert points(run_id, "seen") == [(0, 3.0)]


def test_how_the_data_differed(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = tracking.client()
    with monkeypatch.context() as patch, contextlib.suppress(KilledError):
        patch.setattr(type(connection), "log_dict", _killed)
        record_drift(run_id)
    record_drift(run_id)
    assert points(run_id, "drift.size") == [(0, 0.5)]
    assert points(run_id, "drift.images_added") == [(0, 3.0)]


def _killed(*arguments: object) -> None:
    raise KilledError
