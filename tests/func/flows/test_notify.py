"""Notifications of flow runs: a real Prefect server for the events, a real receiver for the messages."""

import datetime
import logging
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddpm.notifications import delivery
from ddpm.registry import Move
from tests.support import forked
from tests.support.receiving import SECRET, Receiver, receiver
from tests.support.repositories import DDPM

ROOT = Path(__file__).parents[3]
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
PATIENCE = 120


@pytest.fixture
def hook(prefect: None, project: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver, configured in the environment."""
    with receiver() as web:
        monkeypatch.setenv("DDPM_WEBHOOK_URL", web.url)
        monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
        monkeypatch.setattr(delivery, "RETRY_POLICY", delivery.RetryPolicy(pause=0.01))
        yield web


def moved(kind: str, changed: bool = True) -> Move:
    return Move("digits", 3, kind, 2, 1, "ann@desk", WHEN, "sixes upside down", "done", "run", changed)  # type: ignore[arg-type]


def report(verdict: str, promote: bool, version: int = 2) -> Any:
    return SimpleNamespace(
        verdict=SimpleNamespace(verdict=verdict, promote=promote, reasons=('FID 3 < 4 & "fine" {{ 1 }}', "ü")),
        registered=SimpleNamespace(name="digits", version=version, champion=1, run_id="abc"),
        warnings=[],
    )


def events(text: str) -> list[dict[str, Any]]:
    """The events on Prefect's server that contain `text`, once there is one."""
    from prefect.client.orchestration import get_client

    wanted = {"filter": {"event": {"prefix": ["ddpm."]}}, "limit": 50}
    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            known = client.request("POST", "/events/filter", json=wanted).json()["events"]
            if found := [each for each in known if text in each["payload"].get("text", "")]:  # not every event has one
                return found
            time.sleep(0.2)
    return []


def test_each_kind_arrives_with_its_facts(hook: Receiver) -> None:
    from flows import notify

    better = report("better", promote=True)
    notify.send_verdict(better)
    promoted = hook.next()
    assert (promoted["type"], promoted["model"], promoted["version"]) == ("ddpm.promoted", "digits", 2)
    assert promoted["reasons"] == ['FID 3 < 4 & "fine" {{ 1 }}', "ü"]
    assert better.warnings == []
    notify.send_verdict(report("worse", promote=False, version=3))  # no news
    notify.send_verdict(report("inconclusive", promote=False, version=4))
    inconclusive = hook.next()
    assert (inconclusive["type"], inconclusive["version"]) == ("ddpm.inconclusive", 4)
    notify.send_move(moved("rollback", changed=False))  # nor this
    notify.send_move(moved("rollback"))
    back = hook.next()
    assert (back["type"], back["version"], back["before"], back["who"]) == ("ddpm.rolled-back", 1, 2, "ann@desk")
    assert "sixes upside down" in back["reasons"]
    assert hook.empty()


def test_each_is_an_event_on_prefects_page_with_or_without_a_webhook(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import notify

    assert notify.send("drift", "digits", "with a webhook")
    posted = hook.posted.get_nowait()
    (event,) = events("with a webhook")
    assert (event["event"], event["id"]) == ("ddpm.drift", posted.headers["webhook-id"])
    assert event["resource"]["prefect.resource.id"] == "ddpm.model.digits"
    monkeypatch.delenv("DDPM_WEBHOOK_URL")
    assert notify.send("promoted", "digits", "without one", version=7)
    (event,) = events("without one")
    assert event["payload"]["version"] == 7
    assert hook.empty()


def test_the_automation_of_earlier_versions_posts_nothing(hook: Receiver) -> None:
    """The automation waits for a label that events no longer have."""
    from prefect.server.events.schemas.automations import EventTrigger, Posture
    from prefect.server.events.schemas.events import ReceivedEvent

    from flows import notify

    notify.send("failed", "digits", "of the label")
    (found,) = events("of the label")
    earlier = EventTrigger(
        expect={"ddpm.failed"}, match={"ddpm.signed": "yes"}, posture=Posture.Reactive, threshold=1, within=0
    )
    event = ReceivedEvent.model_validate(found)
    assert not earlier.covers(event)
    event.resource.root["ddpm.signed"] = "yes"
    assert earlier.covers(event)


def test_failure_and_drift_are_distinguished_by_the_state(hook: Receiver) -> None:
    from prefect import flow

    from flows import notify
    from flows.tasks.drift import DriftError

    @flow(name="retrain", on_failure=[notify.send_failure], persist_result=False)
    def retrain(error: str) -> None:
        if error == "drift":
            raise DriftError("the data have changed by more than a scheduled run accepts")
        raise RuntimeError(f"no route to http://ann:hunter2@store/{SECRET}")

    state = retrain("other", return_state=True)
    failed = hook.next()
    assert (failed["type"], failed["state"]) == ("ddpm.failed", "Failed")
    assert "no route to http://store/<DDPM_WEBHOOK_SECRET>" in failed["text"]
    assert failed["page"].endswith(f"/runs/flow-run/{state.state_details.flow_run_id}")
    retrain("drift", return_state=True)
    drifted = hook.next()
    assert drifted["type"] == "ddpm.drift"
    assert "more than a scheduled run accepts" in drifted["text"]
    assert hook.empty()


def test_a_failed_delivery_is_a_warning_and_fails_nothing(
    hook: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import notify

    hook.statuses = [500] * 5
    assert not notify.send("promoted", "digits", "x")
    assert "the notification 'ddpm.promoted' was not delivered: the receiver answered 500 (5 attempts)" in caplog.text
    monkeypatch.setenv("DDPM_WEBHOOK_URL", "http://127.0.0.1:9/hooks/a-token-in-the-address")
    better = report("better", promote=True)
    notify.send_verdict(better)
    assert "the notification 'ddpm.promoted' was not delivered: the receiver cannot be reached: " in caplog.text
    assert len(better.warnings) == 1
    assert better.warnings[0] in caplog.text
    monkeypatch.delenv("DDPM_WEBHOOK_SECRET")
    assert not notify.send("drift", "digits", "x")
    assert "the notification 'ddpm.drift' was not delivered: DDPM_WEBHOOK_URL is set and" in caplog.text
    assert not notify.send("failed", "digits", "y", fid=float("nan"))
    assert "a-token-in-the-address" not in caplog.text
    assert SECRET not in caplog.text


def test_a_warning_is_in_the_log_of_its_run(hook: Receiver) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    from flows import notify

    @flow(name="retrain", on_failure=[notify.send_failure], persist_result=False)
    def retrain() -> None:
        raise RuntimeError("no data")

    hook.statuses = [404]
    run = retrain(return_state=True).state_details.flow_run_id
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            if any("the receiver answered 404" in each.message for each in client.read_logs(wanted, limit=100)):
                return
            time.sleep(0.2)
    raise AssertionError("the log of the run does not have the warning")


def test_the_log_of_a_delivery(hook: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    from flows import notify

    caplog.set_level(logging.INFO, "ddpm.notify")
    notify.send("test", "", "a test")
    assert hook.next()["text"] == "a test"
    assert "notified of 'ddpm.test'" in caplog.text


def command(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    known = {name: value for name, value in os.environ.items() if not name.startswith("DDPM_WEBHOOK")}
    return forked.run([DDPM, *arguments], cwd=ROOT, env=known | environment)


def test_the_command_posts_a_test_message_and_reports_the_result() -> None:
    with receiver() as web:
        done = command("notify", "--test", DDPM_WEBHOOK_URL=web.url, DDPM_WEBHOOK_SECRET=SECRET)
        assert (done.returncode, done.stdout) == (0, "notify: the receiver accepted the test message\n"), done.stderr
        assert web.next()["type"] == "ddpm.test"
        web.statuses = [404]
        done = command("notify", "--test", DDPM_WEBHOOK_URL=web.url, DDPM_WEBHOOK_SECRET=SECRET)
        assert (done.returncode, done.stderr) == (1, "error: the receiver answered 404\n")
    done = command("notify", "--test", DDPM_WEBHOOK_URL="https://h/token", DDPM_WEBHOOK_SECRET="short")
    assert done.returncode == 1
    assert done.stderr.startswith("error: DDPM_WEBHOOK_SECRET is too short")
    assert "error: DDPM_WEBHOOK_URL is not set" in command("notify", "--test").stderr
    for wrong in ((), ("--setup",)):
        assert command("notify", *wrong).returncode == 2


def test_a_service_with_wrong_settings_is_refused_at_its_start() -> None:
    done = command("serve", DDPM_WEBHOOK_URL="https://h/token", DDPM_WEBHOOK_SECRET="short")
    assert done.returncode == 1
    assert done.stderr.startswith("error: DDPM_WEBHOOK_SECRET is too short")
