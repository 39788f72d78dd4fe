"""Notifications through a real Prefect server to a real receiver, checked with the verifier of the documentation."""

import datetime
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ddpm.registry import Move
from tests.flows.receiving import SECRET, Receiver, receiver, verifier

WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def web() -> Iterator[Receiver]:
    with receiver() as received:
        yield received


@pytest.fixture
def hook(web: Receiver, prefect: None, project: Any, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """The receiver, named in the environment; nothing is left of earlier tests."""
    monkeypatch.setenv("DDPM_WEBHOOK_URL", web.url)
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
    web.status = 204
    while not web.posted.empty():
        web.posted.get()
    return web


def moved(kind: str, changed: bool = True) -> Move:
    return Move("digits", 3, kind, 2, 1, "ann@desk", WHEN, "sixes upside down", "done", "run", changed)  # type: ignore[arg-type]


def report(verdict: str, promote: bool) -> Any:
    return SimpleNamespace(
        verdict=SimpleNamespace(verdict=verdict, promote=promote, reasons=('FID 3 < 4 & "fine" {{ 1 }}', "ü")),
        registered=SimpleNamespace(name="digits", version=2, champion=1, run_id="abc"),
    )


def test_each_kind_arrives_signed_and_says_what_happened(hook: Receiver) -> None:
    from flows import notify

    notify.judged(report("better", promote=True))
    promoted = hook.next()
    assert (promoted["what"], promoted["model"], promoted["version"]) == ("ddpm.promoted", "digits", 2)
    assert promoted["reasons"] == ['FID 3 < 4 & "fine" {{ 1 }}', "ü"]
    notify.judged(report("worse", promote=False))  # no news
    notify.judged(report("inconclusive", promote=False))
    assert hook.next()["what"] == "ddpm.inconclusive"
    notify.moved(moved("rollback", changed=False))  # nor this
    notify.moved(moved("rollback"))
    back = hook.next()
    assert (back["what"], back["version"], back["before"], back["who"]) == ("ddpm.rolled-back", 1, 2, "ann@desk")
    assert "sixes upside down" in back["reasons"]
    assert hook.posted.empty()


def test_block_and_automation_are_made_once_and_follow_the_address(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client

    from flows import notify

    assert notify.setup()
    assert notify.setup()
    with get_client(sync_client=True) as client:
        first = client.read_automations_by_name(notify.NAME)
    assert len(first) == 1
    monkeypatch.setenv("DDPM_WEBHOOK_URL", "https://elsewhere.example.org/hook")
    assert notify.setup()
    with get_client(sync_client=True) as client:
        assert [each.id for each in client.read_automations_by_name(notify.NAME)] == [first[0].id]
    assert Webhook.load(notify.NAME, _sync=True).url.get_secret_value() == "https://elsewhere.example.org/hook"  # type: ignore[union-attr, call-arg]


def test_a_run_that_fails_and_one_that_drifted_are_told_from_their_states(hook: Receiver) -> None:
    from prefect import flow

    from flows import notify
    from flows.tasks.drift import DriftError

    @flow(name="retrain", on_failure=[notify.ended], persist_result=False)
    def retrain(error: str) -> None:
        if error == "drift":
            raise DriftError("the data have changed more than a scheduled run accepts")
        raise RuntimeError(f"no route to http://ann:hunter2@store/{SECRET}")

    retrain("other", return_state=True)
    failed = hook.next()
    assert (failed["what"], failed["state"]) == ("ddpm.failed", "Failed")
    assert "no route to http://store/<DDPM_WEBHOOK_SECRET>" in failed["text"]
    assert "/runs/flow-run/" in failed["page"]
    retrain("drift", return_state=True)
    drifted = hook.next()
    assert drifted["what"] == "ddpm.drift"
    assert "more than a scheduled run accepts" in drifted["text"]


def test_what_cannot_be_delivered_is_told_and_hurts_nobody(
    hook: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import notify

    hook.status = 500
    notify.tell("promoted", "digits", "x")
    assert "the notification of 'promoted' was not delivered: the receiver answered 500" in caplog.text
    monkeypatch.setenv("DDPM_WEBHOOK_URL", "http://127.0.0.1:9/hooks/a-token-in-the-address")
    notify.tell("failed", "digits", "x")
    assert "the notification of 'failed' was not delivered: Webhook call failed" in caplog.text
    monkeypatch.delenv("DDPM_WEBHOOK_SECRET")
    notify.tell("drift", "digits", "x")
    assert "the notification of 'drift' was not sent: NotifyError: DDPM_WEBHOOK_URL is set" in caplog.text
    assert "a-token-in-the-address" not in caplog.text
    assert SECRET not in caplog.text


def test_unsigned_events_stay_on_the_server(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client

    from flows import notify

    notify.setup()
    with monkeypatch.context() as patch:
        for name in ("DDPM_WEBHOOK_URL", "DDPM_WEBHOOK_SECRET"):
            patch.delenv(name)
        assert not notify.setup()
        notify.tell("promoted", "digits", "nobody is asked")
    notify.tell("drift", "digits", "signed")  # events are taken in order: this one would come second
    assert hook.next()["text"] == "signed"
    assert hook.posted.empty()
    with get_client(sync_client=True) as client:
        wanted = {"filter": {"event": {"name": ["ddpm.promoted"]}}, "limit": 50}
        bodies = [
            each["payload"]["body"] for each in client.request("POST", "/events/filter", json=wanted).json()["events"]
        ]
    assert any("nobody is asked" in body for body in bodies)


def test_settings_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import notify

    monkeypatch.setenv("DDPM_WEBHOOK_URL", "https://example.org/token")
    monkeypatch.delenv("DDPM_WEBHOOK_SECRET", raising=False)
    with pytest.raises(notify.NotifyError, match="nobody could tell a message from a forged one"):
        notify.settings()
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", "s")
    assert notify.settings() == ("https://example.org/token", "s")
    monkeypatch.setenv("DDPM_WEBHOOK_URL", "example.org/token")
    with pytest.raises(notify.NotifyError, match="is no address") as refused:
        notify.settings()
    assert "token" not in str(refused.value)


def test_the_documented_verifier_refuses_what_was_tampered_with() -> None:
    from flows import notify

    now = datetime.datetime.now(datetime.UTC)
    body = json.dumps({"id": "1", "when": now.isoformat(), "version": 2})
    posted = json.dumps({"body": body, "signature": notify.sign(body, SECRET)}).encode()
    verify = verifier()
    assert verify(posted, SECRET)["version"] == 2
    with pytest.raises(ValueError, match="received before"):
        verify(posted, SECRET)
    for wrong in (posted.replace(b"2}", b"3}"), posted.replace(b'signature": "', b'signature": "\xc3\xbc')):
        with pytest.raises(ValueError, match="signature is wrong"):
            verifier()(wrong, SECRET)
    with pytest.raises(ValueError, match="signature is wrong"):
        verifier()(posted, SECRET + "x")
    old = json.dumps({"id": "1", "when": (now - datetime.timedelta(minutes=6)).isoformat()})
    with pytest.raises(ValueError, match="old"):
        verifier()(json.dumps({"body": old, "signature": notify.sign(old, SECRET)}).encode(), SECRET)


def test_known_answer_of_the_signature() -> None:
    """RFC 4231, test case 2."""
    from flows import notify

    wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert notify.sign("what do ya want for nothing?", "Jefe") == wanted


def test_the_log_of_a_delivery(hook: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    from flows import notify

    caplog.set_level(logging.INFO, "ddpm.notify")
    notify.tell("test", "", "a test")
    assert hook.next()["text"] == "a test"
    assert "notified of 'test'" in caplog.text
