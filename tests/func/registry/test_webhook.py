"""MLflow's own webhook reports aliases that any client of a server moves, as docs/notifications.md sets it up."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from ddpm import registry, tracking
from tests.support import candidates, records
from tests.support.receiving import Receiver, receiver, snippet

SECRET = "a secret for MLflow's webhook"  # pragma: allowlist secret


def moved(received: Receiver) -> dict[str, Any]:
    """The next message, with its signature verified."""
    posted = received.posted.get(timeout=60)
    identifier, timestamp = (posted.headers[f"x-mlflow-{name}"] for name in ("delivery-id", "timestamp"))
    signed = hmac.new(SECRET.encode(), f"{identifier}.{timestamp}.".encode() + posted.body, hashlib.sha256).digest()
    assert posted.headers["x-mlflow-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    message: dict[str, Any] = json.loads(posted.body)
    assert message["entity"] == "model_version_alias"
    return {"action": message["action"], **message["data"]}


@pytest.mark.timeout(600)
def test_aliases_moved_by_any_client_raise_it(
    project: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")  # the receiver of the test has no certificate,
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")  # and is on this machine
    with receiver() as received, records.server(project / "server", empty_database, records.free_port()) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        block = snippet("create_webhook").replace("https://chat.example.org/hooks/mlflow", received.url)
        assert received.url in block
        monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET", SECRET)
        exec(block, {})
        candidates.judged("digits", "worse", "worse")
        assert moved(received) == {"action": "created", "name": "digits", "alias": "candidate", "version": "2"}
        registry.promote("digits", 1, why="first", expected_champion=None)
        assert moved(received) == {"action": "created", "name": "digits", "alias": "champion", "version": "1"}
        tracking.client().delete_registered_model_alias("digits", "champion")  # as MLflow's page does
        assert moved(received) == {"action": "deleted", "name": "digits", "alias": "champion"}
        assert received.empty()
