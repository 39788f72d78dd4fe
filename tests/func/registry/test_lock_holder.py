"""Holders of the lock of the registry: waited for while they live, and no obstacle once they are dead."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddpm import registry, tracking
from ddpm.common.locks import LockBusyError
from ddpm.registry import approval, lock
from tests.func.registry.conftest import EVIDENCE
from tests.support import machines, tiny
from tests.support.machines import NAME, Start, release, said

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(params=["embedded", "shared"])
def record(request: pytest.FixtureRequest, project: Path, empty_database: Path) -> str:
    """Either kind of record, whose lock files lie in different places."""
    if request.param == "shared":
        patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        patch.setenv("MLFLOW_TRACKING_URI", machines.shared_database(project, empty_database))
    return str(request.param)


HOLDER = """
with lock.file_lock("digits"):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def started_holder(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A process that holds the lock, on the machine of this process."""
    holder = start(HOLDER, "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "here"))
    assert said(holder) == "ready"
    return holder


def test_a_living_holder_on_this_machine_is_waited_for_and_named(
    record: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = started_holder(start, tmp_path, monkeypatch)
    monkeypatch.setattr(lock, "PATIENCE", 1.0)
    with pytest.raises(LockBusyError, match="another process is changing digits in the registry"), lock.file_lock(NAME):
        pass
    with lock.file_lock("letters"):
        pass
    release(holder)
    monkeypatch.setattr(lock, "PATIENCE", 600.0)
    with lock.file_lock(NAME) as held:
        held.require()
        assert holder.wait() == 0


def test_a_holder_that_was_killed_is_no_wait(
    record: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = started_holder(start, tmp_path, monkeypatch)
    holder.kill()
    holder.wait()
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with lock.file_lock(NAME):
        pass


def test_the_lock_is_free_after_an_error_and_leaves_nothing_in_the_registry(
    record: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with pytest.raises(ZeroDivisionError), lock.file_lock(NAME):
        raise ZeroDivisionError
    with lock.file_lock(NAME):
        assert tracking.client().search_registered_models() == []


def lost(name: str) -> None:
    raise lock.LostLockError(lock.lost(name, "gone"))


class Lost:
    """A lock that is lost as soon as it is held."""

    def __call__(self, name: str) -> "Lost":
        return self

    def __enter__(self) -> lock.Held:
        return lock.Held(NAME, lambda: lost(NAME))

    def __exit__(self, *error: object) -> None:
        pass


@pytest.mark.parametrize(
    "verb",
    [
        lambda register: registry.promote(NAME, 2, why="better", expected_champion=1, lock=Lost()),
        lambda register: registry.force_promote(NAME, 2, "better", lock=Lost()),
        lambda register: registry.rollback(NAME, 2, lock=Lost()),
        lambda register: registry.prune(NAME, 0, lock=Lost()),
        lambda register: register("new"),
        lambda register: register("two"),
        lambda register: approval.ask(NAME, 3, 1, 24, "run", lock=Lost()),
        lambda register: approval.answer(NAME, 2, approve=True, why="fine", lock=Lost()),
        lambda register: approval.expire(NAME, 2, lock=Lost()),
    ],
    ids=["promote", "by_hand", "rollback", "prune", "register", "register-again", "ask", "answer", "expire"],
)
def test_who_has_lost_the_lock_writes_nothing(
    make: Callable[..., int], run_id: str, tmp_path: Path, verb: Callable[..., object]
) -> None:
    def register(digest: str) -> int:
        folder = tmp_path / "checkpoints" / digest
        if not folder.exists():
            tiny.random_checkpoint(folder, {**tiny.CONFIG, "digest": digest})
        return registry.register(folder, NAME, run_id, EVIDENCE, lock=Lost())

    for digest in ("one", "two", "three"):
        make(digest)
    registry.promote(NAME, 1, why="first", expected_champion=None)
    approval.ask(NAME, 2, 1, 24, "run")
    before = registry.status(NAME), registry.history(NAME)
    with pytest.raises(lock.LostLockError, match=r"lost its lock on digits: gone\. Nothing was written"):
        verb(register)
    assert (registry.status(NAME), registry.history(NAME)) == before
