"""The champion: who moves it, in which order, and what remains when the mover dies half-way."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm import registry, tracking
from ddpm.registry.versions import CONTENT_TAG, VERIFIED_TAG
from tests.func.registry.conftest import NAME, die_at
from tests.support import forked

Make = Callable[..., int]


@pytest.fixture
def make(project: Path) -> Make:
    """Adds a version that counts as verified; moving aliases needs no more, so nothing is packed here."""

    def make(digest: str) -> int:
        connection = tracking.client()
        if not registry.status(NAME).versions:
            connection.create_registered_model(NAME)
        tags = {CONTENT_TAG: digest, VERIFIED_TAG: "{}"}
        number = int(connection.create_model_version(NAME, (project / digest).as_uri(), tags=tags).version)
        connection.set_registered_model_alias(NAME, "candidate", str(number))
        return number

    return make


def promote(number: int, expected: int | None, **options: object) -> registry.Move:
    return registry.promote(NAME, number, why="better", expected_champion=expected, **options)  # type: ignore[arg-type]


def aliases() -> dict[str, int]:
    return dict(registry.status(NAME).aliases)


def trail() -> list[tuple[str, int | None, int, str]]:
    return [(each.kind, each.origin, each.target, each.outcome) for each in registry.history(NAME)]


def test_promotion_moves_champion_and_previous(make: Make) -> None:
    make("a"), make("b")
    promote(1, None)
    assert aliases() == {"candidate": 2, "champion": 1}
    promote(2, 1)
    assert aliases() == {"candidate": 2, "champion": 2, "previous": 1}
    assert trail() == [("promote", None, 1, "done"), ("promote", 1, 2, "done")]


def test_promoting_the_champion_again_changes_nothing(make: Make) -> None:
    make("a")
    assert promote(1, None).changed
    assert not promote(1, None).changed
    assert len(trail()) == 1


def test_a_decision_against_an_old_champion_is_refused(make: Make) -> None:
    make("a"), make("b"), make("c")
    promote(1, None)
    promote(2, 1)
    with pytest.raises(registry.ConflictError, match="is version 2 now, not version 1"):
        promote(3, 1)
    assert aliases()["champion"] == 2
    assert len(trail()) == 2


def test_rollback_goes_back_once_however_often_it_is_called(make: Make) -> None:
    make("a"), make("b")
    promote(1, None)
    promote(2, 1)
    assert registry.rollback(NAME, why="sevens").changed
    assert aliases() == {"candidate": 2, "champion": 1}
    for _ in range(2):
        assert not registry.rollback(NAME).changed
    assert trail()[-1] == ("rollback", 2, 1, "done")
    assert len(trail()) == 3


def test_rollback_to_any_version(make: Make) -> None:
    for digest in "abc":
        make(digest)
    for number, expected in ((1, None), (2, 1), (3, 2)):
        promote(number, expected)
    assert registry.rollback(NAME, 1).changed
    assert not registry.rollback(NAME, 1).changed
    assert aliases() == {"candidate": 3, "champion": 1}


def test_a_version_that_was_rolled_back_needs_a_person(make: Make) -> None:
    make("a"), make("b")
    promote(1, None)
    promote(2, 1)
    registry.rollback(NAME, why="sevens")
    assert registry.withdrawn(NAME, 2) == "sevens"
    with pytest.raises(registry.WithdrawnError, match="sevens"):
        promote(2, 1)
    promote(2, 1, insist=True)
    assert registry.withdrawn(NAME, 2) is None
    assert aliases()["champion"] == 2


def test_there_is_nothing_to_roll_back_to_at_first(make: Make) -> None:
    make("a")
    with pytest.raises(registry.RegistryError, match="no champion"):
        registry.rollback(NAME)
    promote(1, None)
    with pytest.raises(registry.RegistryError, match="has only had version 1"):
        registry.rollback(NAME)
    with pytest.raises(registry.RegistryError, match="no version 5"):
        registry.rollback(NAME, 5)


def test_the_trail_only_grows(make: Make) -> None:
    make("a"), make("b")
    seen: list[registry.Move] = []
    for step in (lambda: promote(1, None), lambda: promote(2, 1), lambda: registry.rollback(NAME)):
        step()
        now = registry.history(NAME)
        assert now[: len(seen)] == seen
        assert len(now) == len(seen) + 1
        seen = now
    assert [each.sequence for each in seen] == [1, 2, 3]
    assert all("@" in each.who and each.why is not None for each in seen)


def test_the_evidence_is_kept_with_the_move(make: Make) -> None:
    make("a")
    move = promote(1, None, evidence={"verdict": "first"})
    saved = tracking.client().download_artifacts(move.run_id, "evidence.json")
    assert '"first"' in Path(saved).read_text()


RACER = """
import sys
from ddpm import registry
sys.stdin.readline()
try:
    registry.promote("digits", int(sys.argv[1]), why="race", expected_champion=1)
    print("won")
except registry.ConflictError:
    print("lost")
"""


def test_of_two_racing_promoters_one_wins_and_the_other_is_told(make: Make) -> None:
    for digest in "abc":
        make(digest)
    promote(1, None)
    racers = [forked.start([sys.executable, "-c", RACER, str(number)]) for number in (2, 3)]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate()[0].strip() for racer in racers]
    assert sorted(said) == ["lost", "won"]
    winner = 2 + said.index("won")
    assert aliases() == {"candidate": 3, "champion": winner, "previous": 1}
    assert trail() == [("promote", None, 1, "done"), ("promote", 1, winner, "done")]


@pytest.mark.parametrize(
    ("where", "call"),
    [
        ("create_run", 1),
        ("log_dict", 1),
        ("set_registered_model_alias", 1),
        ("set_registered_model_alias", 2),
        ("set_terminated", 1),
    ],
)
def test_a_promotion_killed_between_two_steps_is_brought_to_its_end(
    make: Make, monkeypatch: pytest.MonkeyPatch, where: str, call: int
) -> None:
    make("a"), make("b")
    promote(1, None)
    die_at(monkeypatch, where, call, lambda: promote(2, 1))
    promote(2, 1)
    assert aliases() == {"candidate": 2, "champion": 2, "previous": 1}
    assert trail() == [("promote", None, 1, "done"), ("promote", 1, 2, "done")]


@pytest.mark.parametrize(
    "where", ["set_registered_model_alias", "delete_registered_model_alias", "set_model_version_tag", "set_terminated"]
)
def test_a_rollback_killed_between_two_steps_is_brought_to_its_end(
    make: Make, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    make("a"), make("b")
    promote(1, None)
    promote(2, 1)
    die_at(monkeypatch, where, 1, lambda: registry.rollback(NAME, why="sevens"))
    registry.rollback(NAME)
    assert aliases() == {"candidate": 2, "champion": 1}
    assert registry.withdrawn(NAME, 2) == "sevens"
    assert trail()[2:] == [("rollback", 2, 1, "done")]


MURDERED = """
import os, signal
from mlflow import MlflowClient
from ddpm import registry
MlflowClient.set_terminated = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
registry.promote("digits", 2, why="better", expected_champion=1)
"""


def test_a_promoter_killed_for_real_leaves_no_lock_and_no_loose_end(make: Make) -> None:
    make("a"), make("b")
    promote(1, None)
    assert forked.run([sys.executable, "-c", MURDERED]).returncode == -signal.SIGKILL
    assert trail()[1] == ("promote", 1, 2, "unfinished")
    promote(2, 1)
    assert aliases() == {"candidate": 2, "champion": 2, "previous": 1}
    assert trail() == [("promote", None, 1, "done"), ("promote", 1, 2, "done")]


def test_an_interrupted_move_that_others_overtook_stays_undone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for digest in "abc":
        make(digest)
    promote(1, None)
    die_at(monkeypatch, "set_registered_model_alias", 1, lambda: promote(2, 1))
    tracking.client().set_registered_model_alias(NAME, "champion", "3")  # by hand, in MLflow
    with pytest.raises(registry.ConflictError):
        promote(2, 1)
    assert aliases()["champion"] == 3
    assert trail()[1] == ("promote", 1, 2, "superseded")
