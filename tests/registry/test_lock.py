"""The lock that a tracking server holds: between processes that share no file, as those of two machines."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpm import registry, tracking
from ddpm.common.locks import LockBusyError
from ddpm.registry import lock
from ddpm.registry.versions import CONTENT_TAG, VERIFIED_TAG
from tests import records
from tests.registry.conftest import NAME

pytestmark = pytest.mark.timeout(900)
Start = Callable[..., "subprocess.Popen[str]"]
HEAD = "import os, signal, sys, time\nfrom ddpm import registry\nfrom ddpm.registry import lock\n"


@pytest.fixture
def database(project: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database that is not this checkout's own, so that others may use it too."""
    path = project / "shared.db"
    path.write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program as on a machine of its own: with a folder of locks that no other one has."""
    with contextlib.ExitStack() as all_end:

        def start(program: str, machine: str, *arguments: str) -> "subprocess.Popen[str]":
            folder = tmp_path / machine
            folder.mkdir(exist_ok=True)
            process = subprocess.Popen(
                [sys.executable, "-c", HEAD + program, *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(folder)},
            )  # fmt: skip
            all_end.callback(process.wait)
            all_end.callback(process.kill)
            return process

        yield start


def said(process: "subprocess.Popen[str]") -> str:
    """Its next line."""
    assert process.stdout
    return process.stdout.readline().strip()


def go(*processes: "subprocess.Popen[str]") -> None:
    """They are ready, and begin together."""
    assert [said(each) for each in processes] == ["ready"] * len(processes)
    for each in processes:
        assert each.stdin
        each.stdin.write("go\n")
        each.stdin.flush()


def locks() -> list[str]:
    """What is left of any lock."""
    return [each.name for each in tracking.client().search_registered_models() if each.name != NAME]


def versions(count: int) -> None:
    """Verified versions; the first is champion."""
    connection = tracking.client()
    connection.create_registered_model(NAME)
    run = connection.create_run("0").info  # a server takes artifacts of runs only
    for number in range(count):
        tags = {CONTENT_TAG: str(number), VERIFIED_TAG: "{}"}
        connection.create_model_version(NAME, f"{run.artifact_uri}/{number}", run.run_id, tags=tags)
    registry.promote(NAME, 1, why="first", expected_champion=None)


def trail() -> list[tuple[int | None, int, str]]:
    return [(each.origin, each.target, each.outcome) for each in registry.history(NAME)]


PROMOTER = """
print("ready", flush=True)
sys.stdin.readline()
try:
    registry.promote("digits", int(sys.argv[1]), why="race", expected_champion=1)
    print("won")
except registry.ConflictError as error:
    print("told" if "somebody else moved it" in str(error) else error)
"""


def test_of_two_promoters_on_two_machines_one_wins_and_the_other_is_told(
    project: Path, empty_database: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with records.server(project / "server", empty_database, records.free_port()) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        versions(3)
        racers = [start(PROMOTER, f"machine{number}", str(number)) for number in (2, 3)]
        go(*racers)
        ends = [said(racer) for racer in racers]
        assert sorted(ends) == ["told", "won"]
        winner = 2 + ends.index("won")
        assert dict(registry.status(NAME).aliases) == {"champion": winner, "previous": 1}
        assert trail() == [(None, 1, "done"), (1, winner, "done")]
        assert locks() == []


def test_the_lock_is_gone_after_it_was_used_also_after_an_error(database: Path) -> None:
    with lock.registry_lock(NAME) as held:
        held.require()
        assert locks() == [lock.lock_name(NAME)]
    assert locks() == []
    with pytest.raises(ZeroDivisionError), lock.registry_lock(NAME):
        raise ZeroDivisionError
    assert locks() == []
    assert registry.status(NAME).versions == ()


def test_an_embedded_record_needs_no_more_than_its_file(project: Path) -> None:
    with lock.registry_lock(NAME) as held:
        held.require()
        assert locks() == []


HOLDER = """
lock.LEASE, lock.RENEWED = float(sys.argv[1]), float(sys.argv[2])
with lock.registry_lock("digits"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_living_holder_is_waited_for_beyond_its_lease(
    database: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = start(HOLDER, "elsewhere", "4", "0.1")
    assert said(holder) == "held"
    monkeypatch.setattr(lock, "PATIENCE", 8.0)
    with pytest.raises(LockBusyError, match=r"@.* is changing digits in the registry"), lock.registry_lock(NAME):
        pass
    assert holder.stdin
    holder.stdin.write("enough\n")
    holder.stdin.flush()
    monkeypatch.setattr(lock, "PATIENCE", 600.0)
    with lock.registry_lock(NAME):
        assert holder.wait() == 0


def test_a_holder_that_died_on_this_machine_is_no_wait(
    database: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = start(HOLDER, "here", "100000", "1000")
    assert said(holder) == "held"
    holder.kill()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "here"))
    with lock.registry_lock(NAME) as held:
        held.require()
    assert locks() == []


MURDERED = """
from mlflow import MlflowClient
lock.LEASE, lock.RENEWED = 1.0, 1000.0
original = getattr(MlflowClient, sys.argv[1])
def dies(*arguments, **options):
    if sys.argv[2] == "after":
        original(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(MlflowClient, sys.argv[1], dies)
registry.promote("digits", 2, why="better", expected_champion=1)
"""


@pytest.mark.parametrize(
    "step", ["create_registered_model after", "rename_registered_model after", "delete_registered_model before"]
)
def test_killed_with_the_lock_in_its_hand_another_machine_brings_the_promotion_to_its_end(
    database: Path, start: Start, step: str
) -> None:
    versions(2)
    if step.startswith("rename"):  # it dies as it takes the lock of one that died before it
        dead = lock.Note("dead", "somebody", "", 0.5).text
        tracking.client().create_registered_model(lock.lock_name(NAME), description=dead)
    assert start(MURDERED, "elsewhere", *step.split()).wait() == -signal.SIGKILL
    assert locks()
    registry.promote(NAME, 2, why="better", expected_champion=1)
    assert dict(registry.status(NAME).aliases) == {"champion": 2, "previous": 1}
    assert trail() == [(None, 1, "done"), (1, 2, "done")]
    with lock.registry_lock(NAME):
        pass
    assert locks() == []


TAKER = """
from pathlib import Path
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    with lock.registry_lock("digits") as held:
        with open("inside", "x"):  # fails where another one is inside
            held.require()
            time.sleep(0.02)
        os.unlink("inside")
print("done", flush=True)
"""


def test_a_dead_holders_lock_is_taken_by_one_at_a_time(database: Path, start: Start) -> None:
    holder = start(HOLDER, "elsewhere", "1", "1000")
    assert said(holder) == "held"
    takers = [start(TAKER, f"machine{number}") for number in range(2)]
    holder.kill()
    go(*takers)
    assert [said(each) for each in takers] == ["done"] * 2
    assert locks() == []


PAUSED = """
lock.LEASE, lock.RENEWED = 1.0, 0.2
from ddpm.registry import aliases
move = aliases._move_aliases
def pause(*arguments):
    print("paused", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    move(*arguments)
aliases._move_aliases = pause
try:
    registry.promote("digits", 2, why="slow", expected_champion=1)
except lock.LostLockError as error:
    print(error)
"""


def test_one_that_was_paused_past_its_lease_writes_nothing_any_more(database: Path, start: Start) -> None:
    versions(3)
    paused = start(PAUSED, "elsewhere")
    assert said(paused) == "paused"
    with pytest.raises(registry.ConflictError, match="is version 2 now"):
        registry.promote(NAME, 3, why="quick", expected_champion=1)  # it brings the move that was begun to its end
    registry.promote(NAME, 3, why="quick", expected_champion=2)
    before = trail()
    paused.send_signal(signal.SIGCONT)
    assert "lost its lock on digits" in said(paused)
    assert dict(registry.status(NAME).aliases) == {"champion": 3, "previous": 2}
    assert trail() == before == [(None, 1, "done"), (1, 2, "done"), (2, 3, "done")]


def test_a_lock_that_was_taken_meanwhile_is_given_back(database: Path) -> None:
    """The one that would take a dead lock looks, sleeps, and finds a living one under the same name."""
    connection, name = tracking.client(), lock.lock_name(NAME)
    dead, living = (lock.Note(token, "somebody", "", 1.0) for token in ("dead", "living"))
    connection.create_registered_model(name, description=living.text)
    lock._put_aside(connection, name, dead)
    found = lock._read(connection, name)
    assert found == living
    assert locks() == [name]


@pytest.mark.parametrize("place", ["", "another boot 1 2"])
def test_silence_counts_by_this_machines_own_clock(database: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    connection = tracking.client()
    connection.create_registered_model(lock.lock_name(NAME), description=lock.Note("x", "s", place, 0.5).text)
    monkeypatch.setattr(time, "time", lambda: 0.0)  # the time of day jumped back
    with lock.registry_lock(NAME) as held:
        held.require()
    assert locks() == []
