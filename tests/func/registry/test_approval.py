"""The question whether a version becomes the champion, and its answer, on a real database."""

import datetime
import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ddpm import registry, tracking
from ddpm.cli import app
from ddpm.registry import approval
from ddpm.registry.approval import TAG
from ddpm.registry.versions import CONTENT_TAG, VERIFIED_TAG

NAME = "digits"


@pytest.fixture(autouse=True)
def versions(project: Path) -> None:
    """Three versions, the first the champion."""
    connection = tracking.client()
    connection.create_registered_model(NAME)
    for content in "abc":
        tags = {CONTENT_TAG: content, VERIFIED_TAG: "{}", "ddpm.verdict": "better"}
        connection.create_model_version(NAME, (project / content).as_uri(), tags=tags)
    registry.promote(NAME, 1, why="first", expected_champion=None)


def ddpm(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--name", NAME])


def refused(*arguments: str) -> str:
    result = ddpm(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    return " ".join(result.stderr.split())


def ended(number: int) -> None:
    """The time to answer ends."""
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    known = json.loads(registry.version(NAME, number).tags[TAG])
    registry.annotate(NAME, number, {TAG: json.dumps({**known, "until": past.isoformat()})})


def test_a_question_is_asked_once_and_answered_once() -> None:
    first = approval.ask(NAME, 2, 1, 24, "run-1")
    assert first.runs == ("run-1",)
    again = approval.ask(NAME, 2, 1, 24, "run-2")
    assert (again.asked, again.until, again.runs) == (first.asked, first.until, ("run-1", "run-2"))
    said = ddpm("approve", "2", "--why", "sharper sevens").output
    assert "version 2 of digits: approved by " in said
    assert "the waiting run promotes it in a moment" in said
    assert "is closed: approved by" in refused("reject", "2", "--why", "no")
    known = approval.ask(NAME, 2, 1, 24, "run-3")
    assert (known.state, known.why, known.asked) == ("approved", "sharper sevens", first.asked)
    assert known.who == registry.audit.current_user()


def test_a_rejection_stands_until_the_champion_is_another() -> None:
    approval.ask(NAME, 2, 1, 24, "run-1")
    assert "rejected by" in ddpm("reject", "2", "--why", "blurred").output
    assert "rejected" in ddpm("status").output
    assert approval.ask(NAME, 2, 1, 24, "run-2").state == "rejected"
    registry.promote(NAME, 3, why="by hand", expected_champion=1)
    known = approval.ask(NAME, 2, 3, 24, "run-3")
    assert (known.state, known.champion, known.who, known.runs) == ("asked", 3, "", ("run-3",))


def test_what_cannot_be_answered_is_refused_in_words() -> None:
    text = "no approval was requested for version 2 of digits; `ddpm promote 2"
    assert text in refused("approve", "2", "--why", "x")
    assert "no version 9" in refused("approve", "9", "--why", "x")
    approval.ask(NAME, 2, 1, 24, "run-1")
    assert "the reason is empty" in refused("approve", "2", "--why", " ")
    assert ddpm("approve", "2").exit_code == 2
    registry.promote(NAME, 3, why="by hand", expected_champion=1)
    said = refused("approve", "2", "--why", "x")
    assert "was compared with version 1, but the champion is version 3 now" in said
    assert approval.question(NAME, 2).state == "asked"  # type: ignore[union-attr]


def test_after_the_time_there_is_no_answer_and_a_new_run_asks_anew() -> None:
    approval.ask(NAME, 2, 1, 24, "run-1")
    ended(2)
    assert "is closed: expired: not answered by" in refused("approve", "2", "--why", "x")
    known = approval.ask(NAME, 2, 1, 24, "run-2")
    assert (known.state, known.runs) == ("asked", ("run-2",))
    assert approval.expire(NAME, 2).state == "expired"
    assert approval.ask(NAME, 2, 1, 24, "run-3").runs == ("run-3",)


def test_an_answer_in_the_last_moment_is_not_overwritten_by_the_end_of_the_time() -> None:
    approval.ask(NAME, 2, 1, 24, "run-1")
    approval.answer(NAME, 2, approve=True, why="x")
    assert approval.expire(NAME, 2).state == "approved"


def test_that_a_question_was_notified_of_is_kept_with_it_and_not_with_the_next() -> None:
    first = approval.ask(NAME, 2, 1, 24, "run-1")
    assert not first.notified
    approval.answer(NAME, 2, approve=False, why="blurred")
    approval.set_notified(NAME, first)
    known = approval.ask(NAME, 2, 1, 24, "run-2")
    assert (known.notified, known.state, known.why) == (True, "rejected", "blurred")
    registry.promote(NAME, 3, why="by hand", expected_champion=1)
    assert not approval.ask(NAME, 2, 3, 24, "run-3").notified
    approval.set_notified(NAME, first)  # which is not the open question any more
    assert not approval.ask(NAME, 2, 3, 24, "run-3").notified


def test_a_question_of_an_earlier_version_is_read() -> None:
    approval.ask(NAME, 2, 1, 24, "run-1")
    known = json.loads(registry.version(NAME, 2).tags[TAG])
    del known["notified"]
    registry.annotate(NAME, 2, {TAG: json.dumps(known)})
    assert not approval.ask(NAME, 2, 1, 24, "run-1").notified


def test_of_two_answers_at_once_one_counts() -> None:
    approval.ask(NAME, 2, 1, 24, "run-1")
    refusals, barrier = [], threading.Barrier(2)

    def answer(approve: bool) -> None:
        barrier.wait()
        try:
            approval.answer(NAME, 2, approve=approve, why=str(approve))
        except registry.RegistryError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=answer, args=(approve,)) for approve in (True, False)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    known = approval.question(NAME, 2)
    assert known is not None
    assert known.why == str(known.state == "approved")
    assert len(refusals) == 1
    assert "is closed" in refusals[0]
