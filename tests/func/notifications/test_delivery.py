"""Delivery to a real receiver: signature, retries, limits, proxies. Attempts are counted, not timed."""

import hashlib
import hmac
import json
import logging
import socket
import subprocess
import threading
import time
from base64 import b64encode
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Library
from standardwebhooks.webhooks import WebhookVerificationError

from ddpm.common import addresses
from ddpm.notifications import DeliveryError, RetryPolicy, Webhook, deliver, headers, message, post
from tests.support.receiving import KEY, SECRET, Posted, Receiver, snippet, verifier

QUICK = RetryPolicy(pause=0.01)


def sent() -> Any:
    return message("promoted", "digits", 'FID 3 < 4 & "fine" {{ 1 }}, ü', version=2)


def failure(hook: Webhook, policy: RetryPolicy = QUICK) -> str:
    with pytest.raises(DeliveryError) as failed:
        post(hook, sent(), policy)
    return str(failed.value)


def test_a_message_arrives_once_signed_over_id_time_and_body(web: Receiver, hook: Webhook) -> None:
    made = sent()
    post(hook, made)
    posted = web.posted.get_nowait()
    assert web.empty()
    assert posted.body == made.body
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["webhook-id"] == made.id
    assert abs(time.time() - int(posted.headers["webhook-timestamp"])) < 120
    signed = f"{made.id}.{posted.headers['webhook-timestamp']}.".encode() + posted.body
    computed = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{KEY.hex()}", "-binary"],
        input=signed, capture_output=True, check=True,
    )  # fmt: skip
    assert posted.headers["webhook-signature"] == f"v1,{b64encode(computed.stdout).decode()}"


def test_the_receivers_library_accepts_a_message(web: Receiver, hook: Webhook) -> None:
    """Use the code of the documentation."""
    post(hook, sent())
    posted = web.posted.get_nowait()
    names: dict[str, Any] = {"secret": SECRET, "body": posted.body, "headers": posted.headers}
    exec(snippet("from standardwebhooks"), names)
    assert names["message"]["data"]["version"] == 2
    names["body"] = posted.body.replace(b"2}", b"3}")
    with pytest.raises(WebhookVerificationError):
        exec(snippet("from standardwebhooks"), names)


def test_a_receiver_that_fails_twice_gets_the_same_message_again(web: Receiver, hook: Webhook) -> None:
    web.statuses = [503, 429]
    post(hook, sent(), QUICK)
    posted = [web.posted.get_nowait() for _ in range(3)]
    assert web.empty()
    assert len({each.body for each in posted}) == 1
    assert len({each.headers["webhook-id"] for each in posted}) == 1
    for each in posted:
        assert Library(SECRET).verify(each.body, each.headers)["type"] == "ddpm.promoted"


def test_delivery_to_a_receiver_that_always_fails_ends_with_the_reason(web: Receiver, hook: Webhook) -> None:
    web.statuses = [500] * 10
    assert failure(hook) == "the receiver answered 500 (5 attempts)"
    assert web.posted.qsize() == 5


@pytest.mark.parametrize("status", [302, 400, 404, 410])
def test_a_final_status_is_not_retried(web: Receiver, hook: Webhook, status: int) -> None:
    web.statuses = [status]
    web.answer_headers = {"Location": web.url}
    assert failure(hook) == f"the receiver answered {status}"
    assert web.posted.qsize() == 1


def test_a_retry_after_beyond_the_limit_ends_the_delivery_at_once(web: Receiver, hook: Webhook) -> None:
    web.statuses, web.answer_headers = [429, 429], {"Retry-After": "3600"}
    assert failure(hook) == "the receiver answered 429"
    assert web.posted.qsize() == 1


def test_a_retry_after_is_respected(web: Receiver, hook: Webhook) -> None:
    web.statuses, web.answer_headers = [429], {"Retry-After": "1"}
    began = time.monotonic()
    post(hook, sent(), QUICK)
    assert time.monotonic() - began >= 1
    assert web.posted.qsize() == 2


def test_a_refused_connection_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        said = failure(Webhook(f"http://127.0.0.1:{taken.getsockname()[1]}/token", KEY))
    assert said.startswith("the receiver cannot be reached: ")
    assert said.endswith("(5 attempts)")
    assert "token" not in said


def test_a_receiver_that_comes_back_gets_the_message(web: Receiver, hook: Webhook) -> None:
    """The receiver does not answer the first attempt."""
    web.silent.set()
    threading.Thread(target=lambda: (web.posted.get(), web.silent.clear())).start()  # type: ignore[func-returns-value]
    post(hook, sent(), RetryPolicy(attempt=2, pause=0.01))
    assert web.posted.qsize() == 1


def test_delivery_to_a_silent_receiver_times_out(web: Receiver, hook: Webhook) -> None:
    web.silent.set()
    assert failure(hook, RetryPolicy(attempt=0.2, pause=0.01, attempts=2)).startswith(
        "the receiver did not answer within"
    )
    assert web.posted.qsize() == 2


def test_delivery_to_a_receiver_whose_answer_never_ends_times_out(web: Receiver, hook: Webhook) -> None:
    """Each byte arrives in time, so that the client's own timeout never ends it."""
    web.trickle = True
    assert failure(hook, RetryPolicy(total=1, attempt=0.5)) == "the receiver did not answer within 1s"


def test_deliver_never_raises_and_gives_the_reason(configured: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    assert deliver(sent(), said.append)
    assert configured.next()["version"] == 2
    configured.statuses = [404]
    assert not deliver(sent(), said.append)
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", "short")
    assert not deliver(sent(), said.append)
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
    assert not deliver(message("failed", "", "x", fid=float("inf")), said.append)
    monkeypatch.delenv("DDPM_WEBHOOK_URL")
    assert deliver(sent(), said.append), "nobody is to be notified"
    lead = "the notification 'ddpm.promoted' was not delivered: "
    assert said[0] == f"{lead}the receiver answered 404"
    assert said[1].startswith(f"{lead}DDPM_WEBHOOK_SECRET is too short")
    assert "'ddpm.failed' was not delivered: ValueError" in said[2]
    assert len(said) == 3


def test_the_address_is_in_no_log(web: Receiver, hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    post(hook, sent())
    assert "a-token-in-the-address" not in caplog.text
    assert SECRET not in caplog.text
    logging.getLogger("httpx").info("of others")
    assert "of others" in caplog.text


def test_the_proxy_of_the_environment_is_used_except_for_this_machine(
    web: Receiver, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = web.url.removesuffix("/hooks/a-token-in-the-address")
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("NO_PROXY", "")  # so that both are put back
    monkeypatch.setenv("no_proxy", "")
    addresses.bypass_proxies()
    post(Webhook("http://receiver.invalid/hook", KEY), sent())
    assert web.posted.get_nowait().path == "http://receiver.invalid/hook"
    for host in ("127.0.0.1", "localhost"):
        post(Webhook(web.url.replace("127.0.0.1", host), KEY), sent())
        assert web.posted.get_nowait().path == "/hooks/a-token-in-the-address"


def posted(timestamp: float | None = None, body: bytes = b'{"version":2}', key: bytes = KEY) -> Posted:
    """A received message."""
    return Posted(
        "/",
        {name.lower(): value for name, value in headers("1", int(timestamp or time.time()), body, key).items()},
        body,
    )


def test_the_documented_verifier_accepts_signed_and_refuses_tampered_messages() -> None:
    verify, good = verifier(), posted()
    assert verify(good.body, good.headers, SECRET) == json.loads(good.body)
    assert verify(good.body, good.headers, SECRET.removeprefix("whsec_")) == json.loads(good.body)
    several = good.headers | {"webhook-signature": f"v1a,x v1,AAAA {good.headers['webhook-signature']}"}
    assert verify(good.body, several, SECRET)
    wrong: list[tuple[bytes, dict[str, str]]] = [
        (b'{"version":3}', good.headers),
        (good.body, posted(key=b"x").headers),
        *((good.body, good.headers | {name: value}) for name, value in (
            ("webhook-id", "2"), ("webhook-timestamp", str(int(time.time()) + 9)), ("webhook-signature", "v1,"),
            ("webhook-signature", good.headers["webhook-signature"].replace("v1,", "v2,")),
            ("webhook-signature", "v1,\xfc"),
        )),
    ]  # fmt: skip
    for body, each in wrong:
        with pytest.raises(ValueError, match="signature is wrong"):
            verify(body, each, SECRET)


@pytest.mark.parametrize("seconds", [-360, 360])
def test_the_documented_verifier_refuses_old_messages(seconds: int) -> None:
    late = posted(time.time() + seconds)
    with pytest.raises(ValueError, match="old"):
        verifier()(late.body, late.headers, SECRET)
    with pytest.raises(WebhookVerificationError):
        Library(SECRET).verify(late.body, late.headers)


def test_the_signature_is_that_of_an_independent_computation() -> None:
    one = posted(1_700_000_000)
    wanted = hmac.digest(KEY, b'1.1700000000.{"version":2}', hashlib.sha256)
    assert one.headers["webhook-signature"] == "v1," + b64encode(wanted).decode()
