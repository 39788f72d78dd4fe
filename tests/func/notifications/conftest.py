"""A receiver, and a webhook for it."""

from collections.abc import Iterator

import pytest

from ddpm.notifications import Webhook, delivery
from tests.support.receiving import KEY, SECRET, Receiver, receiver


@pytest.fixture
def web() -> Iterator[Receiver]:
    with receiver() as received:
        yield received


@pytest.fixture
def hook(web: Receiver) -> Webhook:
    return Webhook(web.url, KEY)


@pytest.fixture
def configured(web: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """The receiver, configured in the environment."""
    monkeypatch.setenv("DDPM_WEBHOOK_URL", web.url)
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr(delivery, "RETRY_POLICY", delivery.RetryPolicy(pause=0.01))
    return web
