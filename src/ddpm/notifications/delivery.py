"""Posting of messages, with retries: a webhook that does not take one is a warning and never fails the work."""

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddpm.notifications import settings, signature
from ddpm.notifications.message import Message
from ddpm.notifications.settings import Webhook, redacted

if TYPE_CHECKING:
    import httpx

THREAD = "ddpm-webhook"
TOO_MANY_REQUESTS = 429


class DeliveryError(RuntimeError):
    """The receiver did not take a message; the message of this error has the reason, without secrets."""


@dataclass(frozen=True)
class Patience:
    """Limits of a delivery: seconds in all and for one attempt, attempts, and the first pause, doubled after each."""

    total: float = 30.0
    attempt: float = 10.0
    attempts: int = 5
    pause: float = 1.0


PATIENCE = Patience()


@dataclass(frozen=True)
class Refusal:
    """Why an attempt failed. retry: whether another may succeed. after: seconds that the receiver asked to wait."""

    reason: str
    retry: bool
    after: float = 0.0


def deliver(message: Message, warn: Callable[[str], None]) -> bool:
    """Post a message to the configured webhook, if there is one. Never raises.

    Returns False, after a call of `warn` with the reason, where the message should have been delivered and was not.
    """
    try:
        if webhook := settings.webhook():
            post(webhook, message)
    except Exception as error:  # noqa: BLE001 - the work is worth more than the message about it
        known = isinstance(error, DeliveryError | settings.NotificationError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        warn(f"the notification {message.type!r} was not delivered: {redacted(reason)}")
        return False
    return True


def post(webhook: Webhook, message: Message, patience: Patience | None = None) -> None:
    """Post a message until the receiver takes it (2xx). Raises DeliveryError when it does not.

    Connection errors, 429 and 5xx are tried again, any other answer is not.
    """
    chosen = patience or PATIENCE
    done: Future[None] = Future()

    def work() -> None:
        try:
            _attempts(webhook, message, chosen)
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised again below
            done.set_exception(error)

    # Not every wait of a client has a limit: a name server may be silent, and each byte of an answer starts a new one.
    logging.getLogger("httpx").addFilter(_not_ours)
    threading.Thread(target=work, name=THREAD, daemon=True).start()
    try:
        done.result(chosen.total)
    except TimeoutError:
        raise DeliveryError(f"the receiver did not answer within {chosen.total:g} s") from None


def _not_ours(record: logging.LogRecord) -> bool:
    """Keep the address out of httpx's log, which has it in full."""
    return record.threadName != THREAD


def _attempts(webhook: Webhook, message: Message, patience: Patience) -> None:
    import httpx

    started = time.monotonic()
    with httpx.Client() as client:  # by the proxies of the environment
        for number in range(1, patience.attempts + 1):
            left = patience.total - (time.monotonic() - started)
            refusal = _attempt(client, webhook, message, min(patience.attempt, left))
            if refusal is None:
                return
            # Random, so that several senders do not come back at the same moment.
            pause = max(patience.pause * 2 ** (number - 1) * random.uniform(0.5, 1), refusal.after)  # noqa: S311
            left = patience.total - (time.monotonic() - started)
            if not refusal.retry or number == patience.attempts or pause >= left:
                times = f" ({number} attempts)" if number > 1 else ""
                raise DeliveryError(redacted(f"{refusal.reason}{times}"))
            time.sleep(pause)


def _attempt(client: "httpx.Client", webhook: Webhook, message: Message, seconds: float) -> Refusal | None:
    """Post once; None when the receiver took the message. Each attempt is signed with its own time."""
    import httpx

    body = message.body
    sent = signature.headers(message.id, int(time.time()), body, webhook.key)
    try:
        with client.stream("POST", webhook.url, content=body, headers=sent, timeout=seconds) as answer:
            status, asked = answer.status_code, answer.headers.get("Retry-After", "")
    except httpx.TimeoutException:
        return Refusal(f"the receiver did not answer within {seconds:.3g} s", retry=True)
    except httpx.TransportError as error:
        return Refusal(f"the receiver cannot be reached: {error or type(error).__name__}", retry=True)
    if answer.is_success:
        return None
    retry = status == TOO_MANY_REQUESTS or answer.is_server_error
    return Refusal(f"the receiver answered {status}", retry, float(asked) if asked.isdecimal() else 0.0)
