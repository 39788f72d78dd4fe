"""Notifications: one Prefect event per occurrence, its text signed, which an automation posts to a webhook.

The address and the shared secret are in the environment alone, DDPM_WEBHOOK_URL and DDPM_WEBHOOK_SECRET; the Prefect
server keeps the address in a Webhook block, and never learns the secret. What arrives is `{"body", "signature"}`:
signature is the HMAC-SHA256 of the exact text `body`, which is JSON and has the time in it (docs/notifications.md has
the receiver's side). Without an address the events are still on Prefect's page, and go nowhere else.

`ddpm notify --setup` makes block and automation; `--test` sends a message.
"""

import contextlib
import hashlib
import hmac
import json
import logging
import os
import re
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from ddpm.common import redact
from ddpm.common.redact import shown
from flows.console import Logger, reporter

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow

    from ddpm.registry import Move
    from flows.summary import Report

Kind = Literal["failed", "drift", "inconclusive", "promoted", "rolled-back", "approval-asked", "test"]
URL, SECRET = "DDPM_WEBHOOK_URL", "DDPM_WEBHOOK_SECRET"
NAME = "ddpm-webhook"
"""Of the block and the automation."""
SIGNED = {"ddpm.signed": "yes"}
"""A label of the events that the automation may send out: an unsigned one never leaves the server."""
ENVELOPE = '{"body": {{ event.payload.body | tojson }}, "signature": {{ event.payload.signature | tojson }}}'
LONGEST = 8000
"""Characters of a text; Prefect refuses large events."""
PATIENCE = 30.0
"""Seconds to wait for word of a delivery; it usually takes one or two."""
SECONDS_BETWEEN_LOOKS = 0.5


class NotifyError(ValueError):
    """Notifications are set up wrongly; the message says what to do."""


def tell(kind: Kind, model: str, text: str, **facts: Any) -> None:
    """Send one notification. Whatever goes wrong with it is a warning in the log, and never fails a run.

    facts: plain JSON values beside it, such as version and reasons; None is left out.
    """
    log = _logger()
    try:
        _tell(kind, model, text, facts, log)
    except Exception as error:  # noqa: BLE001 - a run is worth more than the message about it
        _warn(log, f"the notification of {kind!r} was not sent: {redacted(f'{type(error).__name__}: {error}')}")


def ended(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]") -> None:
    """A hook for on_failure and on_crashed: says that a run failed, or that it stopped because the data drifted."""
    from flows.tasks.drift import DriftError

    error = None
    with contextlib.suppress(Exception):  # a crash has no result
        error = state.result(raise_on_failure=False)
    kind: Kind = "drift" if isinstance(error, DriftError) else "failed"
    tell(kind, _model(), state.message or f"the run ended as {state.name}", run=flow_run.name, state=state.name)


def crashed(flow_run: "FlowRun") -> None:
    """Says that a run's process was killed; it cannot say so itself. A child is told by its parent's run."""
    if flow_run.parent_task_run_id is None:
        tell("failed", _model(), "the process of the run was killed", run=flow_run.name, state="Crashed")


def judged(report: "Report") -> None:
    """Says that a model was promoted, or that the comparison was inconclusive; other verdicts are no news."""
    made, verdict = report.registered, report.verdict
    facts = {"version": made.version, "reasons": list(verdict.reasons), "run": made.run_id}
    if verdict.promote:
        tell("promoted", made.name, f"version {made.version} of {made.name} is the champion now", **facts)
    elif verdict.verdict == "inconclusive":
        text = f"version {made.version} of {made.name} is neither better nor worse for sure; the champion stays"
        tell("inconclusive", made.name, text, champion=made.champion, **facts)


def moved(move: "Move") -> None:
    """Says that a person moved the champion, unless nothing changed."""
    if move.changed:
        kind: Kind = "promoted" if move.kind == "promote" else "rolled-back"
        facts = {"version": move.target, "before": move.origin, "who": move.who, "reasons": [move.why]}
        tell(kind, move.name, str(move), **facts)


def setup() -> bool:
    """Make the block and the automation what the environment says; False when it names no address.

    Safe to repeat. Raises NotifyError, or what Prefect's client raises when the server does not do it.
    """
    address, _ = settings()
    if not address:
        return False
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client
    from prefect.events import AutomationCore, EventTrigger
    from prefect.events.actions import CallWebhook

    block: Any = Webhook(url=address, headers={"Content-Type": "application/json"})
    document = block.save(NAME, overwrite=True, _sync=True)
    wanted = AutomationCore(
        name=NAME,
        description="Posts the project's signed notifications to the address in the webhook block of this name.",
        trigger=EventTrigger(
            expect={event(kind) for kind in get_args(Kind)}, match=SIGNED, posture="Reactive", threshold=1, within=0
        ),
        actions=[CallWebhook(block_document_id=document, payload=ENVELOPE)],
    )
    with get_client(sync_client=True) as client:
        there = client.read_automations_by_name(NAME)
        if not there:
            client.create_automation(wanted)
        elif AutomationCore.model_validate(there[0].model_dump()) != wanted:
            client.update_automation(there[0].id, wanted)
        for double in there[1:]:  # two processes made it at the same time
            client.delete_automation(double.id)
    return True


def prepare() -> None:
    """`setup`, whose failure is a warning: every notification sets up again what is missing."""
    try:
        setup()
    except Exception as error:  # noqa: BLE001 - a service is worth more than its notifications
        _warn(_logger(), f"notifications are not set up: {redacted(f'{type(error).__name__}: {error}')}")


def settings() -> tuple[str, str]:
    """(address, secret) of the environment, each may be empty. Raises NotifyError for an address without a secret."""
    address, secret = os.environ.get(URL, "").strip(), os.environ.get(SECRET, "").strip()
    if address and not secret:
        raise NotifyError(
            f"{URL} is set and {SECRET} is not: nobody could tell a message from a forged one. Set a secret that the "
            "receiver knows as well, for example one made by `openssl rand -hex 32`."
        )
    if address and not re.match(r"https?://[^/\s]+", address):
        raise NotifyError(f"{URL} is no address: it begins with http:// or https:// and has no spaces")
    return address, secret


def require_address() -> None:
    """Raises NotifyError if the environment names no address, or no secret for it."""
    address, _ = settings()
    if not address:
        raise NotifyError(f"{URL} is not set, so there is nowhere to send notifications to")


def event(kind: Kind) -> str:
    """The name of Prefect's event."""
    return f"ddpm.{kind}"


def sign(body: str, secret: str) -> str:
    """HMAC-SHA256 (RFC 2104) of the UTF-8 bytes of `body`, in hexadecimal."""
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def redacted(text: str) -> str:
    """Without what must not be told: the address, the secret, and credentials inside of any other address."""
    for name in (URL, SECRET):
        if value := os.environ.get(name, "").strip():
            text = text.replace(value, f"<{name}>")
    return shown(text)


def message(body: Any) -> str:
    """What is signed and sent, as JSON. Its texts are redacted one by one, before JSON escapes anything in them."""
    return json.dumps(redact.each(body, redacted), ensure_ascii=False)


def _tell(kind: Kind, model: str, text: str, facts: dict[str, Any], log: Logger) -> None:
    """Emit the event, and wait for what became of it if there is an address."""
    from prefect.client.orchestration import get_client

    address, secret = settings()
    if address:
        setup()
    body = message(_body(kind, model, text, facts))
    name = str(uuid.uuid4())
    happened = {
        "id": name,
        "occurred": datetime.now(UTC).isoformat(),
        "event": event(kind),
        "resource": {"prefect.resource.id": f"ddpm.model.{model or 'unknown'}", **(SIGNED if secret else {})},
        "payload": {"body": body, "signature": sign(body, secret) if secret else ""},
    }
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[happened])
        if address:
            _delivered(client, name, kind, log)


def _body(kind: Kind, model: str, text: str, facts: dict[str, Any]) -> dict[str, Any]:
    """What the receiver reads. `id` and `when` are there against replay."""
    known = {
        "id": str(uuid.uuid4()),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": event(kind),
        "model": model,
        "text": text[:LONGEST],
        "page": _page(),
    }
    return {key: value for key, value in (known | facts).items() if value is not None}


def _model() -> str:
    """The registered model of params.yaml, or nothing where that cannot be read."""
    from ddpm.config import params

    try:
        return params.model_name()
    except (ValueError, OSError):  # which may be why a run failed
        return ""


def _page() -> str | None:
    """The flow run on Prefect's page, or None outside of one."""
    from prefect.runtime import flow_run
    from prefect.settings import get_current_settings

    base = get_current_settings().ui_url or str(get_current_settings().api.url or "").removesuffix("/api")
    return f"{base}/runs/flow-run/{flow_run.id}" if base and flow_run.id else None


def _delivered(client: "SyncPrefectClient", name: str, kind: Kind, log: Logger) -> None:
    """Wait until the server says what came of the event, and say so."""
    deadline = time.monotonic() + PATIENCE
    wanted = {
        "event": {"name": ["prefect.automation.action.executed", "prefect.automation.action.failed"]},
        "related": {"id": [f"prefect.event.{name}"]},
    }
    while time.monotonic() < deadline:
        found = client.request("POST", "/events/filter", json={"filter": wanted, "limit": 1}).json()["events"]
        if found:
            told = found[0]["payload"]
            status = told.get("status_code")
            if status is not None and status < 300:
                log.info("notified of %r", kind)
            else:
                reason = f"the receiver answered {status}" if status is not None else told.get("reason", "no reason")
                _warn(log, f"the notification of {kind!r} was not delivered: {redacted(str(reason))}")
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
    _warn(
        log, f"the notification of {kind!r} was handed to Prefect, and no word of its delivery came in {PATIENCE:g} s"
    )


def _warn(log: Logger, text: str) -> None:
    log.warning("%s", text)
    reporter.ended("notify", "Failed", text)


def _logger() -> Logger:
    """The log of the flow run, or an ordinary one outside of it."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("ddpm.notify")


if __name__ == "__main__":  # as documented before `ddpm notify`
    import sys

    from ddpm.cli import app

    app(["notify", *sys.argv[1:]], prog_name="ddpm")
