"""Approval on a real Prefect server and registry: all ways to answer, and no answer."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from typer.testing import CliRunner

from ddpm import registry, tracking
from ddpm.cli import app
from ddpm.common import files
from ddpm.config import params, presets
from ddpm.evaluation import gate
from ddpm.registry import approval as questions
from ddpm.registry.versions import CONTENT_TAG, VERIFIED_TAG
from tests.support.receiving import SECRET, Receiver, receiver
from tests.support.records import DIGEST

NAME = "digits"
ROOT = Path(__file__).parents[3]
PATIENCE = 240
BETTER = gate.Verdict("better", True, ("FID 3 against 4",), ())
ASKING = """\
import sys
from prefect import flow
from tests.func.flows.test_approval import judged
flow(name="judging", persist_result=False)(judged)(float(sys.argv[1]))
"""


def judged(hours: float) -> gate.Verdict:
    """The part of flows.promotion after the gate, for version 2 against version 1."""
    from flows import approval, promotion
    from flows.tasks import candidate

    settings = params.load(ROOT / "params.yaml").promote.model_copy(
        update={"approval": "person", "approval_hours": hours}
    )
    verdict = approval.apply_approval(settings, NAME, 2, BETTER, 1)
    if verdict.promote:
        promotion._step("promote", candidate.move, NAME, 2, verdict, 1, approval.evidence(NAME, 2, 1))
    return verdict


@pytest.fixture(autouse=True)
def versions(prefect: None, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three versions, the first of them champion, and a short poll interval."""
    from flows import approval

    monkeypatch.setattr(approval, "POLL_SECONDS", 0.2)
    connection = tracking.client()
    connection.create_registered_model(NAME)
    run_id = tracking.complete(DIGEST, {"fid": 3.0})
    for content in "abc":
        tags = {CONTENT_TAG: content, VERIFIED_TAG: "{}"}
        connection.create_model_version(NAME, (project / content).as_uri(), run_id, tags=tags)
    registry.keep(NAME, 2, {"verdict": BETTER.as_json()})
    registry.promote(NAME, 1, why="first", expected_champion=None)


@contextlib.contextmanager
def notified(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver, configured in the environment."""
    with receiver() as web:
        monkeypatch.setenv("DDPM_WEBHOOK_URL", web.url)
        monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
        yield web


Asked = Callable[..., "Future[Any]"]


@pytest.fixture
def ask() -> Iterator[Asked]:
    """A function that starts the flow in a thread; the future returns its final state."""
    from prefect import flow

    judging = flow(name="judging", persist_result=False)(judged)
    with ThreadPoolExecutor(1) as pool:
        yield lambda hours=0.1: pool.submit(judging, hours, return_state=True)


def asked(name: str, number: int) -> questions.Question | None:
    """The question, or None if there is no such version or question yet."""
    with contextlib.suppress(registry.RegistryError):
        return questions.question(name, number)
    return None


def paused(name: str = NAME, number: int = 2, before: int = 0, by: "Future[Any] | None" = None) -> UUID:
    """The run that shows the form, once it is paused, after `before` earlier runs that asked the question."""
    from prefect.client.orchestration import get_client

    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline and not (by and by.done()):
            known = asked(name, number)
            if known and len(known.runs) > before:
                state = client.read_flow_run(UUID(known.runs[-1])).state
                if state and state.is_paused():
                    return UUID(known.runs[-1])
            time.sleep(0.1)
    raise AssertionError(f"no run is paused: {by.exception() if by and by.done() else ''}")


def resumed(run: UUID, **filled: str) -> Any:
    """Submit the form as Prefect's page does."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.resume_flow_run(run, run_input=filled)


def verdict_of(future: "Future[Any]") -> gate.Verdict:
    found: gate.Verdict = future.result(PATIENCE).result()
    return found


def champion() -> int:
    return registry.status(NAME).aliases["champion"]


def ddpm(*arguments: str) -> None:
    done = CliRunner().invoke(app, [*arguments, "--name", NAME])
    assert done.exit_code == 0, done.output


def test_the_form_approves_and_the_audit_trail_names_the_approver(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client

    with notified(monkeypatch) as web:
        future = ask()
        run = paused()
        message = web.next()
    assert (message["type"], message["version"], message["champion"]) == ("ddpm.approval-asked", 2, 1)
    assert "ddpm approve 2 --why" in message["text"]
    assert message["page"].endswith(f"/runs/flow-run/{run}")
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
        assert state is not None
        form = client.read_flow_run_input(run, state.state_details.run_input_keyset["schema"])  # type: ignore[index]
    assert '"approve"' in form
    assert resumed(run, answer="approve", why=" ").status.value == "REJECT"
    assert resumed(run, answer="perhaps", why="x").status.value == "REJECT"
    assert champion() == 1
    assert resumed(run, answer="approve", why="sharper sevens", who="Ann").status.value == "ACCEPT"
    assert verdict_of(future).reasons[-1] == "approved by Ann on Prefect's page: sharper sevens"
    assert champion() == 2
    move = registry.history(NAME)[-1]
    assert "approved by Ann on Prefect's page" in move.why
    evidence = tracking.client().download_artifacts(move.run_id, "evidence.json", str(Path.cwd()))
    kept = files.read_json(Path(evidence))["approval"]
    assert (kept["state"], kept["who"], kept["champion"]) == ("approved", "Ann on Prefect's page", 1)


def test_the_command_approves(ask: Asked) -> None:
    future = ask()
    run = paused()
    ddpm("approve", "2", "--why", "fine")
    assert verdict_of(future).promote
    assert champion() == 2
    assert state_of(run) == "Approved"


def state_of(run: UUID) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
    assert state is not None
    return str(state.name)


def test_a_rejection_keeps_the_champion_and_is_not_asked_again(ask: Asked) -> None:
    from flows.summary import heading

    future = ask()
    paused()
    ddpm("reject", "2", "--why", "blurred")
    verdict = verdict_of(future)
    assert (verdict.verdict, verdict.promote, champion()) == ("rejected", False, 1)
    assert heading(verdict)[1] == "not promoted: rejected by a person"
    assert verdict.reasons[-1].endswith(": blurred")
    assert verdict_of(ask()) == verdict


def test_without_an_answer_in_time_the_champion_stays(ask: Asked) -> None:
    from flows.summary import heading

    verdict = verdict_of(ask(3 / 3600))
    assert (verdict.verdict, verdict.promote, champion()) == ("expired", False, 1)
    assert heading(verdict)[1] == "not promoted: not approved in time"
    assert "nobody answered until" in verdict.reasons[-1]


def test_a_champion_that_moved_meanwhile_fails_the_run_and_nothing_is_written(ask: Asked) -> None:
    future = ask()
    paused()
    registry.promote(NAME, 3, why="by hand", expected_champion=1)
    state = future.result(PATIENCE)
    assert state.is_failed()
    assert "the champion of digits is version 3 now, not 1: it moved while version 2 waited" in state.message
    assert champion() == 3
    assert [move.target for move in registry.history(NAME)] == [1, 3]


def test_a_run_that_is_cancelled_ends_and_the_question_stays(ask: Asked) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    future = ask()
    run = paused()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Cancelled(), force=True)
    assert not future.result(PATIENCE).is_completed()
    known = questions.question(NAME, 2)
    assert known is not None
    assert known.state == "asked"


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
    questions.ask(NAME, 2, 1, 1, "00000000-0000-0000-0000-000000000000")  # of a run that is no more
    ddpm("approve", "2", "--why", "meanwhile")
    assert verdict_of(ask()).reasons[-1].endswith(": meanwhile")
    assert champion() == 2


def test_killed_between_asking_and_notifying_the_next_run_notifies_once(
    ask: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions.ask(NAME, 2, 1, 1, "00000000-0000-0000-0000-000000000000")  # of a run that is no more
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


def test_the_whole_promotion_waits_for_approval(tiny_checkpoint: Path) -> None:
    """From finished stages to a first champion. The version is verified already, to save seconds."""
    from prefect import flow

    from flows import promotion
    from flows.tasks import candidate

    settings = presets.load(ROOT / "presets" / "quick.yaml")
    no_limits = {"max_fid": None, "min_inception_score": None, "min_class_share": None}
    chosen = settings.promote.model_copy(
        update={"name": "first", "approval": "person", "approval_hours": 0.1, **no_limits}
    )
    settings = settings.model_copy(update={"promote": chosen})
    metrics = {"fid": 3.0, "conditions": {"weights_sha256": "x"}}
    shutil.copytree(tiny_checkpoint, candidate.MODEL)
    files.write_json(candidate.METRICS, metrics)
    files.write_text(candidate.HISTORY, "images,loss\n1,0.5\n")
    candidate.PICTURES.mkdir()
    files.write_json(Path("out/prepare/profile.json"), {"data_sha256": "x"})
    files.write_npy(Path("out/prepare/profile.npy"), np.zeros(1))
    run_id = tracking.complete(files.read_json(candidate.MODEL / "config.json")["digest"], metrics)
    number = registry.register(candidate.MODEL, "first", run_id, metrics)
    registry.annotate("first", number, {VERIFIED_TAG: json.dumps({"shape": [2, 8, 8, 1], "dtype": "uint8"})})

    @flow(name="whole", persist_result=False)
    def whole() -> Any:
        return promotion.promote(settings, [])

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(whole)
        paused("first", number, by=future)
        assert "champion" not in registry.status("first").aliases
        questions.answer("first", number, approve=True, why="good enough")
        report = future.result(PATIENCE)
    assert report.verdict.verdict == "first"
    assert report.verdict.reasons[-1].endswith(": good enough")
    assert report.registered.champion == number
