"""Post messages, with retries. A failed delivery is a warning and never fails the work that it reports."""

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddpm.common.units import duration
from ddpm.notifications import settings, signature
from ddpm.notifications.message import Message
from ddpm.notifications.settings import Webhook, redacted

if TYPE_CHECKING:
    import httpx

THREAD = "ddpm-webhook"
TOO_MANY_REQUESTS = 429


class DeliveryError(RuntimeError):
    """The receiver did not accept a message; this error has the reason, without secrets."""


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of a delivery: total seconds, seconds per attempt, attempts, seconds of the first pause (then doubled)."""

    total: float = 30.0
    attempt: float = 10.0
    attempts: int = 5
    pause: float = 1.0


RETRY_POLICY = RetryPolicy()


@dataclass(frozen=True)
class Refusal:
    """A failed attempt. retry: whether another may succeed. after: seconds that the receiver asked to wait."""

    reason: str
    retry: bool
    after: float = 0.0


def deliver(message: Message, warn: Callable[[str], None]) -> bool:
    """Post a message to the webhook, if one is configured; False if it was not delivered. Never raises.

    warn: called with the reason of a failure.
    """
    try:
        if webhook := settings.webhook():
            post(webhook, message)
    except Exception as error:  # noqa: BLE001 - a notification must not fail the work
        expected = isinstance(error, DeliveryError | settings.NotificationError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        warn(f"the notification {message.type!r} was not delivered: {redacted(reason)}")
        return False
    return True


def post(webhook: Webhook, message: Message, policy: RetryPolicy | None = None) -> None:
    """Post a message until the receiver accepts it (2xx). Raises DeliveryError if it does not.

    Connection errors, 429 and 5xx are retried; any other status is not.
    """
    chosen = policy or RETRY_POLICY
    done: Future[None] = Future()

    def work() -> None:
        try:
            _attempts(webhook, message, chosen)
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised again below
            done.set_exception(error)

    # In a thread, because httpx has no limit for a whole request: a name server may be silent, and each byte of an
    # answer restarts the timeout.
    logging.getLogger("httpx").addFilter(_not_ours)
    threading.Thread(target=work, name=THREAD, daemon=True).start()
    try:
        done.result(chosen.total)
    except TimeoutError:
        raise DeliveryError(f"the receiver did not answer within {duration(chosen.total)}") from None


def _not_ours(record: logging.LogRecord) -> bool:
    """Filter out httpx's log lines, which contain the full address."""
    return record.threadName != THREAD


def _attempts(webhook: Webhook, message: Message, policy: RetryPolicy) -> None:
    import httpx

    started = time.monotonic()
    with httpx.Client() as client:  # by the proxies of the environment
        for number in range(1, policy.attempts + 1):
            left = policy.total - (time.monotonic() - started)
            refusal = _attempt(client, webhook, message, min(policy.attempt, left))
            if refusal is None:
                return
            # Random, so that several senders do not retry at the same moment.
            pause = max(policy.pause * 2 ** (number - 1) * random.uniform(0.5, 1), refusal.after)  # noqa: S311
            left = policy.total - (time.monotonic() - started)
            if not refusal.retry or number == policy.attempts or pause >= left:
                times = f" ({number} attempts)" if number > 1 else ""
                raise DeliveryError(redacted(f"{refusal.reason}{times}"))
            time.sleep(pause)


def _attempt(client: "httpx.Client", webhook: Webhook, message: Message, seconds: float) -> Refusal | None:
    """Post once, signed with the present time; None if the receiver accepted the message."""
    import httpx

    body = message.body
    sent = signature.headers(message.id, int(time.time()), body, webhook.key)
    try:
        with client.stream("POST", webhook.url, content=body, headers=sent, timeout=seconds) as answer:
            status, asked = answer.status_code, answer.headers.get("Retry-After", "")
    except httpx.TimeoutException:
        return Refusal(f"the receiver did not answer within {duration(seconds)}", retry=True)
    except httpx.TransportError as error:
        return Refusal(f"the receiver cannot be reached: {error or type(error).__name__}", retry=True)
    if answer.is_success:
        return None
    retry = status == TOO_MANY_REQUESTS or answer.is_server_error
    return Refusal(f"the receiver answered {status}", retry, float(asked) if asked.isdecimal() else 0.0)
