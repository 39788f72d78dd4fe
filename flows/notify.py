"""Notifications of flow runs: an event on Prefect's page, and a message to the webhook if one is configured.

`ddpm notify --test` posts a test message. Configuration, signature and delivery are in `ddpm.notifications`.
"""

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ddpm import notifications
from ddpm.notifications import Kind, Message, redacted
from flows import prefect_page
from flows.console import Logger, reporter

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow

    from ddpm.registry import Move
    from flows.summary import PipelineResult


Warn = Callable[[str], None]


def send(
    kind: Kind, model: str, text: str, *, of: "FlowRun | None" = None, warn: "Warn | None" = None, **facts: Any
) -> bool:
    """Send a notification; False if a webhook is configured and did not accept the message.

    Never raises: a failure is a warning in the run's log and on the terminal. of: the run, by default the current one.
    warn: also called with the warning. facts: see `ddpm.notifications.message`.
    """
    warned = partial(_warn, _logger(of), warn)
    try:
        message = notifications.message(kind, model, text, page=prefect_page.address(of), **facts)
    except Exception as error:  # noqa: BLE001 - a notification must not fail a run
        warned(redacted(f"the notification {kind!r} could not be written: {type(error).__name__}: {error}"))
        return False
    return _send(message, model, of, warned)


def send_failure(flow: "Flow[..., Any]", flow_run: "FlowRun", state: "State[Any]") -> None:
    """Notify of a run that failed, crashed, or stopped because the data drifted: a hook for on_failure and on_crashed.

    Prefect calls it once: in the run's own process, or in the runner's if the runner finds that process dead and is the
    first to set the run to Crashed (see `send_crash`).
    """
    from flows.tasks.drift import DriftError

    error = None
    with contextlib.suppress(Exception):  # a crash has no result
        error = state.result(raise_on_failure=False)
    kind: Kind = "drift" if isinstance(error, DriftError) else "failed"
    text = state.message or f"the run ended as {state.name}"
    send(kind, _model(), text, of=flow_run, run=flow_run.name, state=state.name)


def send_crash(flow_run: "FlowRun") -> None:
    """Notify of a run whose process was killed. Only the process that set the run to Crashed calls it.

    A child run is left out: its parent is notified of.
    """
    if flow_run.parent_task_run_id is None:
        text = "the process of the run was killed"
        send("failed", _model(), text, of=flow_run, run=flow_run.name, state="Crashed")


def send_verdict(result: "PipelineResult") -> None:
    """Notify of a promotion or an inconclusive comparison; other verdicts send nothing."""
    made, verdict = result.registered, result.verdict
    facts: dict[str, Any] = {"version": made.version, "reasons": list(verdict.reasons), "run": made.run_id}
    warn = result.warnings.append
    if verdict.promote:
        text = f"version {made.version} of {made.name} is the champion now"
        send("promoted", made.name, text, warn=warn, **facts)
    elif verdict.verdict == "inconclusive":
        text = f"version {made.version} of {made.name} is neither significantly better nor worse; the champion stays"
        send("inconclusive", made.name, text, warn=warn, champion=made.champion, **facts)


def send_move(move: "Move") -> None:
    """Notify of a manual move of the champion, unless nothing changed."""
    if message := notifications.champion_moved(move, page=prefect_page.address()):
        _send(message, move.name, None, partial(_warn, _logger(), None))


def _send(message: Message, model: str, of: "FlowRun | None", warn: Warn) -> bool:
    """Emit Prefect's event, which its client sends in the background, and post to the webhook."""
    from prefect.events import emit_event

    resource = {"prefect.resource.id": f"ddpm.model.{model or 'unknown'}"}
    try:
        emit_event(message.type, resource, payload=dict(message.content["data"]), id=UUID(message.id))
    except Exception as error:  # noqa: BLE001 - for example an event too large for Prefect
        warn(redacted(f"Prefect did not accept the event {message.type!r}: {type(error).__name__}: {error}"))
    sent = notifications.deliver(message, warn)
    if sent:
        _logger(of).info("notified of %r", message.type)
    return sent


def _model() -> str:
    """The registered model of params.yaml; empty if that cannot be read, which may be why a run failed."""
    from ddpm.config import params

    try:
        return params.model_name()
    except (ValueError, OSError):
        return ""


def _warn(logger: Logger, also: "Warn | None", text: str) -> None:
    logger.warning("%s", text)
    reporter.finished("notify", "Failed", text)
    if also:
        also(text)


def _logger(of: "FlowRun | None" = None) -> Logger:
    """The logger of a flow run, by default of the current one; an ordinary logger outside of a run."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger
    from prefect.logging.loggers import flow_run_logger

    if of is not None:
        return flow_run_logger(of)
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("ddpm.notify")


if __name__ == "__main__":  # as documented before `ddpm notify`
    import sys

    from ddpm.cli import app

    app(["notify", *sys.argv[1:]], prog_name="ddpm")
