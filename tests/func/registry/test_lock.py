"""The lock of the registry, and what keeps apart those who do not share it, as the commands on two machines."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ddpm import registry, tracking
from ddpm.cli import app
from ddpm.registry import aliases
from tests.support import records
from tests.support.machines import NAME, Start, go, release, said, trail, versions

pytestmark = pytest.mark.timeout(900)


PROMOTER = """
print("ready", flush=True)
sys.stdin.readline()
try:
    registry.promote("digits", int(sys.argv[1]), why="race", expected_champion=1)
    print("won")
except registry.ConflictError as error:
    print("told" if "did not become the champion" in str(error) else error)
"""


def test_of_four_promoters_on_four_machines_one_wins_and_the_others_are_told(
    project: Path, empty_database: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with records.server(project / "server", empty_database, records.free_port()) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        versions(5)
        racers = [start(PROMOTER, f"machine{number}", str(number)) for number in (2, 3, 4, 5)]
        go(*racers)
        ends = [said(racer) for racer in racers]
        assert sorted(ends) == ["told", "told", "told", "won"]
        winner = 2 + ends.index("won")
        assert dict(registry.status(NAME).aliases) == {"champion": winner, "previous": 1}
        assert [each for each in trail() if each[2] == "done"] == [(None, 1, "done"), (1, winner, "done")]
        others = [each for each in trail() if each[2] != "done"]
        assert all(outcome == "superseded" and target != winner for _, target, outcome in others)


BOTH_RECORD = """
from ddpm.registry import audit
record = audit.record_move
def wait():
    print("ready", flush=True)
    sys.stdin.readline()
def pause(*arguments):
    wait()
    move = record(*arguments)
    wait()
    return move
audit.record_move = pause
try:
    registry.promote("digits", int(sys.argv[1]), why="race", expected_champion=1)
    print("won")
except registry.ConflictError as error:
    print(error)
"""


def test_of_two_that_have_recorded_their_moves_the_later_gives_way(database: None, start: Start) -> None:
    versions(3)
    racers = [start(BOTH_RECORD, f"machine{number}", str(number)) for number in (2, 3)]
    go(*racers)  # each has found that no other move is open and has compared the champion
    go(*racers)  # each has recorded its move
    ends = [said(racer) for racer in racers]
    first, second = sorted((move for move in registry.history(NAME) if move.why == "race"), key=lambda each: each.order)
    assert (first.outcome, second.outcome) == ("done", "superseded")
    assert ends[first.target - 2] == "won"
    assert f"Version {second.target} did not become the champion" in ends[second.target - 2]
    assert registry.status(NAME).aliases["champion"] == first.target


PAUSED = """
move = aliases._move_aliases
def pause(*arguments):
    print("ready", flush=True)
    sys.stdin.readline()
    move(*arguments)
aliases._move_aliases = pause
try:
    registry.promote("digits", 2, why="slow", expected_champion=1)
    print("won")
except lock.LostLockError as error:
    print(error)
"""


def test_a_move_under_way_on_another_machine_is_waited_for(database: None, start: Start) -> None:
    versions(3)
    slow = start(PAUSED, "elsewhere")
    assert said(slow) == "ready"
    quick = start(PROMOTER, "here", "3")
    go(quick)
    time.sleep(3)  # it waits; if it did not, it would have won
    release(slow)
    assert (said(slow), said(quick)) == ("won", "told")
    assert dict(registry.status(NAME).aliases) == {"champion": 2, "previous": 1}
    assert trail() == [(None, 1, "done"), (1, 2, "done")]


def test_one_that_was_paused_too_long_writes_nothing_any_more(
    database: None, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliases, "GRACE", 1.0)
    versions(3)
    paused = start(PAUSED, "elsewhere")
    assert said(paused) == "ready"
    with pytest.raises(registry.ConflictError, match="is version 2 now"):
        registry.promote(NAME, 3, why="quick", expected_champion=1)  # it brings the move that was begun to its end
    registry.promote(NAME, 3, why="quick", expected_champion=2)
    before = trail()
    release(paused)
    assert "lost its lock on digits" in said(paused)
    assert dict(registry.status(NAME).aliases) == {"champion": 3, "previous": 2}
    assert trail() == before == [(None, 1, "done"), (1, 2, "done"), (2, 3, "done")]


MURDERED = """
from mlflow import MlflowClient
original = getattr(MlflowClient, sys.argv[1])
def dies(*arguments, **options):
    if sys.argv[2] == "after":
        original(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(MlflowClient, sys.argv[1], dies)
registry.promote("digits", 2, why="better", expected_champion=1)
"""


@pytest.mark.parametrize("step", ["create_run after", "set_registered_model_alias after", "set_terminated before"])
def test_killed_half_way_another_machine_brings_the_promotion_to_its_end(
    database: None, start: Start, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    versions(2)
    assert start(MURDERED, "elsewhere", *step.split()).wait() == -signal.SIGKILL
    monkeypatch.setattr(aliases, "GRACE", 1.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)  # the time of day jumped back: only intervals count
    registry.promote(NAME, 2, why="better", expected_champion=1)
    assert dict(registry.status(NAME).aliases) == {"champion": 2, "previous": 1}
    assert trail() == [(None, 1, "done"), (1, 2, "done")]


def test_locks_that_older_versions_left_on_a_server_are_in_nobodys_way(
    make: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = f"{NAME} (lock)"
    tracking.client().create_registered_model(old, description='{"who": "ann@desk"}')
    registry.promote(NAME, make("one"), why="first", expected_champion=None)
    listed = CliRunner().invoke(app, ["status", "--name", NAME])
    assert listed.exit_code == 0
    assert "(lock)" not in listed.output
    assert registry.prune(NAME, 0) == []
    assert tracking.client().get_registered_model(old).description == '{"who": "ann@desk"}'
