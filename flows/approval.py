"""Approval before the champion moves (`promote.approval: person`): a child flow run that pauses until it is answered.

The answer comes from the form on that run's page or from `ddpm approve` and `ddpm reject`. The registry keeps question
and answer, the form's answer included, so the run after one that was killed while it waited continues with the same
question. A child run pauses, not the pipeline's own run: Prefect frees a deployment's concurrency slot when its run is
paused, which its engine takes for a lost lease.
"""

import contextlib
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid5

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.input import RunInput
from prefect.input.run_input import keyset_from_base_key
from prefect.runtime import flow_run
from prefect.states import Paused, Running
from pydantic import Field

from ddpm.common import markdown
from ddpm.config import params
from ddpm.evaluation import gate
from ddpm.evaluation.gate import Verdict
from ddpm.notifications import redacted
from flows import notify, run_liveness
from flows.console import reporter
from flows.registry_lock import registry_lock
from flows.tasks.outcome import finish

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from ddpm.registry.approval import Question

POLL_SECONDS = 2.0
NAMESPACE = UUID("6d1f3c0e-5a0b-4d57-9f61-2c8f0e7c4a19")
"""Namespace of the notification IDs of questions."""
GRACE = 600
"""Seconds by which Prefect's time limit of the pause exceeds ours: a run cannot be resumed after Prefect's."""
KEYS = keyset_from_base_key("paused-approval")
"""Prefect's keys of the form and of its answer."""


class ApprovalForm(RunInput):
    """The form on Prefect's page."""

    answer: Literal["approve", "reject"] = Field(description="approve: it becomes the champion; reject: it does not")
    why: str = Field(min_length=1, pattern=r"\S", description="The reason; it is kept with the version.")
    who: str = Field(default="", description="Your name: Prefect does not know who you are.")


def apply_approval(settings: params.Promote, name: str, number: int, verdict: Verdict, champion: int | None) -> Verdict:
    """The gate's verdict, changed by the answer if the verdict is to promote and approval is required."""
    if settings.approval == "none" or not verdict.promote:
        return verdict
    reasons = list(verdict.reasons)
    state: Any = wait_for_approval(name, number, champion, settings.approval_hours, reasons, return_state=True)
    question: Question = state.result()
    verdict = replace(verdict, reasons=(*verdict.reasons, str(question)))
    if question.state == "approved":
        return verdict
    answer: gate.Answer = "rejected" if question.state == "rejected" else "expired"
    return replace(verdict, verdict=answer, promote=False)


def evidence(name: str, number: int, champion: int | None) -> dict[str, Any]:
    """The approval of a version, for the audit trail; empty if none was required."""
    from ddpm.registry import approval

    question = approval.question(name, number)
    if question is None or (question.state, question.champion) != ("approved", champion):
        return {}
    return {"approval": asdict(question)}


@flow(name="approval", flow_run_name="approve-{name}-{number}", persist_result=False, validate_parameters=False)
def wait_for_approval(name: str, number: int, champion: int | None, hours: float, reasons: list[str]) -> Any:
    """Ask, unless the question exists already, and pause until it is answered or expires; the closed question.

    Raises ConflictError if the champion moves meanwhile, which makes the question void.
    """
    from ddpm.registry import approval

    run_liveness.hold_liveness_lock()
    run = UUID(str(flow_run.id))
    question = approval.ask(name, number, champion, hours, str(run), lock=registry_lock)
    if question.state == "asked":
        pause(question, name, run, reasons)
        text = (
            f"version {number} of {name} waits for approval until {question.until}: `ddpm approve {number} --why ...` "
            f"or `ddpm reject {number} --why ...`, or the form on the run's page"
        )
        reporter.finished("approval", "Waiting", text)
        get_run_logger().info("%s", text)
        if not question.notified:
            notify_question(question, name, text, reasons)
        question = wait_for_answer(question, name, run)
        resume(run)
    return finish("approval", question.state.title(), str(question), question)


def notify_question(question: "Question", name: str, text: str, reasons: list[str]) -> None:
    """Send the notification and record on the question that it was sent; the next run sends it if this one is killed.

    Its ID derives from the question, so a receiver recognises a repetition.
    """
    from ddpm.registry import approval

    identifier = str(uuid5(NAMESPACE, f"{name}/{question.version}/{question.asked}"))
    facts: dict[str, Any] = {
        "version": question.version,
        "champion": question.champion,
        "until": question.until,
        "reasons": reasons,
    }
    if notify.send("approval-asked", name, text, identifier=identifier, **facts):
        approval.set_notified(name, question, lock=registry_lock)


def pause(question: "Question", name: str, run: UUID, reasons: list[str]) -> None:
    """Show the form and pause the run. Raises RuntimeError if Prefect refuses to pause it."""
    from prefect.client.orchestration import get_client

    against = f"version {question.champion}" if question.champion is not None else "no champion"
    description = (
        f"Shall version {question.version} of {markdown.escape(name)} become the champion (now: {against})? "
        f"Time to answer until {question.until}; without an answer the champion stays.\n\n"
        + "\n".join(f"- {markdown.escape(reason)}" for reason in reasons)
    )
    ApprovalForm.with_initial_data(description=description).save(KEYS, run)
    left = datetime.fromisoformat(question.until) - datetime.now(UTC)
    state: State[Any] = Paused(timeout_seconds=int(left.total_seconds()) + GRACE, pause_key="approval")
    state.state_details.run_input_keyset = {str(key): value for key, value in KEYS.items()}
    with get_client(sync_client=True) as client:
        done = client.set_flow_run_state(run, state)
    if done.state is None or not done.state.is_paused():
        raise RuntimeError(f"the run could not be paused for the approval: {done.details}")


def wait_for_answer(question: "Question", name: str, run: UUID) -> "Question":
    """Poll registry and form until the question is closed, also across outages of their servers.

    Raises ConflictError if the champion moves, RuntimeError if the run is cancelled.
    """
    import httpx
    from prefect.client.orchestration import get_client

    from ddpm import tracking

    last = datetime.fromisoformat(question.until) + timedelta(seconds=GRACE)
    warned = False
    while True:
        try:
            with get_client(sync_client=True) as client, tracking.friendly_errors():
                found = poll(client, question, name, run)
            if found.state != "asked":
                return found
            warned = False
        except (httpx.HTTPError, tracking.TrackingError) as error:
            if datetime.now(UTC) > last:
                raise
            if not warned:
                get_run_logger().warning("a server does not answer; waiting: %s", redacted(str(error)))
            warned = True
        time.sleep(POLL_SECONDS)


def poll(client: "SyncPrefectClient", question: "Question", name: str, run: UUID) -> "Question":
    """The question as it is now, after reading the forms of all runs that asked it."""
    from ddpm import registry
    from ddpm.registry import approval

    number = question.version
    now = approval.question(name, number) or question
    if now.state != "asked":
        return now
    champion = registry.status(name).aliases.get("champion")
    if champion != question.champion:
        raise registry.ConflictError(
            f"the champion of {name} is version {champion} now, not {question.champion}: it moved while version "
            f"{number} waited for approval. Nothing was promoted; the next run compares it with the new champion."
        )
    if now.overdue:
        return approval.expire(name, number, lock=registry_lock)
    for each in now.runs:
        if form := read_form(client, UUID(each)):
            who = f"{form.who.strip() or 'somebody'} on Prefect's page"
            with contextlib.suppress(registry.RegistryError):  # answered or expired already: the next poll sees it
                approve = form.answer == "approve"
                return approval.answer(name, number, approve=approve, why=form.why, who=who, lock=registry_lock)
    state = client.read_flow_run(run).state
    if state is not None and (state.is_final() or state.is_cancelling()):
        raise RuntimeError(f"the run that waited for approval was ended externally: {state.name}")
    return now


def read_form(client: "SyncPrefectClient", run: UUID) -> ApprovalForm | None:
    """The submitted form of a run, or None."""
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        return ApprovalForm.model_validate_json(client.read_flow_run_input(run, KEYS["response"]))
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise
        return None


def resume(run: UUID) -> None:
    """Set the run to Running if it is still paused: submitting the form resumes it, the commands do not."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
        if state is not None and state.is_paused():
            client.set_flow_run_state(run, Running(), force=True)
