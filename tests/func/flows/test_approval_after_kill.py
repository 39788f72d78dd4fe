"""A run that is killed while it waits for approval, or between question and notification."""

import os
import signal
import subprocess
import sys
import time
from uuid import UUID

import pytest

from ddpm.registry import approval as questions
from tests.support.approving import (
    ASKING,
    NAME,
    PATIENCE,
    ROOT,
    Asked,
    champion,
    ddpm,
    notified,
    paused,
    resumed,
    state_of,
    verdict_of,
)

pytestmark = pytest.mark.usefixtures("versions")


def killed() -> UUID:
    """Start a process that asks, and kill it while it waits; return its run, which Prefect still shows as paused."""
    from prefect.settings import get_current_settings

    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "PREFECT_API_URL": str(get_current_settings().api.url),
    }
    with subprocess.Popen([sys.executable, "-c", ASKING, "1"], env=environment, start_new_session=True) as process:
        run = paused()
        os.killpg(process.pid, signal.SIGKILL)
    assert state_of(run) == "Paused"
    return run


@pytest.mark.slow
def test_a_run_killed_while_waiting_leaves_its_question_to_the_next(
    ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    with notified(monkeypatch) as web:
        run = killed()
        before = questions.question(NAME, 2)
        future = ask()
        paused(before=1)
        first = web.posted.get(timeout=PATIENCE)
        while not web.empty():  # killed after it had notified, and before it had noted that
            assert web.posted.get().headers["webhook-id"] == first.headers["webhook-id"]
    now = questions.question(NAME, 2)
    assert before is not None
    assert now is not None
    assert (now.asked, now.until, now.runs[0]) == (before.asked, before.until, str(run))
    resumed(run, answer="approve", why="on the old page", who="Ann")
    assert verdict_of(future).reasons[-1].endswith("on the old page")
    assert champion() == 2


def test_an_answer_given_while_no_run_waits_applies_to_the_next_run(ask: Asked) -> None:
    questions.ask(NAME, 2, 1, 1, "00000000-0000-0000-0000-000000000000")  # of a run that does not exist
    ddpm("approve", "2", "--why", "meanwhile")
    assert verdict_of(ask()).reasons[-1].endswith(": meanwhile")
    assert champion() == 2


def test_killed_between_asking_and_notifying_the_next_run_notifies_once(
    ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions.ask(NAME, 2, 1, 1, "00000000-0000-0000-0000-000000000000")  # of a run that does not exist
    with notified(monkeypatch) as web:
        future = ask()
        paused(before=1)
        assert web.next()["type"] == "ddpm.approval-asked"
        while not questions.question(NAME, 2).notified:  # type: ignore[union-attr]
            time.sleep(0.1)  # the test's own time limit ends this
        ddpm("approve", "2", "--why", "fine")
        assert verdict_of(future).promote
        assert web.empty()


def test_a_notification_that_was_not_delivered_is_sent_again_with_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import approval

    known = questions.ask(NAME, 2, 1, 1, "run")
    with notified(monkeypatch) as web:
        web.statuses = [404]
        for delivered in (False, True):
            approval.notify_question(known, NAME, "a question", [])
            assert questions.question(NAME, 2).notified is delivered  # type: ignore[union-attr]
        first, second = web.posted.get_nowait(), web.posted.get_nowait()
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
