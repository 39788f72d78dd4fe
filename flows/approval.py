"""Asking a person before the champion moves (promote.approval): a flow run of its own, paused until the answer.

A person answers in the form on that run's page, or with `ddpm approve` and `ddpm reject`. The registry keeps question
and answer, and the form's answer is written there too, so that a run that was killed while it waited goes on with
the same question. It is a child run, not the pipeline's own that pauses: Prefect frees a deployment's slot when its run
is paused, which the engine takes for a lease that was lost.
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

from ddpm.config import params
from ddpm.evaluation import gate
from ddpm.evaluation.gate import Verdict
from ddpm.notifications import redacted
from flows import markdown, notify, run_liveness
from flows.console import reporter
from flows.registry_lock import registry_lock
from flows.tasks.outcome import finish

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from ddpm.registry.approval import Question

SECONDS_BETWEEN_LOOKS = 2.0
NAMESPACE = UUID("6d1f3c0e-5a0b-4d57-9f61-2c8f0e7c4a19")
"""Of the identifiers of notified questions."""
GRACE = 600
"""Seconds that Prefect's own limit of the pause is beyond ours: after it, a run cannot even be resumed to end."""
KEYS = keyset_from_base_key("paused-approval")
"""Under which Prefect keeps the form, and what was filled in."""


class Answer(RunInput):
    """The form on Prefect's page."""

    answer: Literal["approve", "reject"] = Field(description="approve: it becomes the champion; reject: it does not")
    why: str = Field(min_length=1, pattern=r"\S", description="The reason; it is kept with the version.")
    who: str = Field(default="", description="Your name: Prefect does not know who you are.")


def decided(settings: params.Promote, name: str, number: int, verdict: Verdict, champion: int | None) -> Verdict:
    """The gate's verdict, or if it would promote and a person is to be asked, what the person made of it."""
    if settings.approval == "none" or not verdict.promote:
        return verdict
    state: Any = wait(name, number, champion, settings.approval_hours, list(verdict.reasons), return_state=True)
    known: Question = state.result()
    reasons = (*verdict.reasons, str(known))
    if known.state == "approved":
        return replace(verdict, reasons=reasons)
    outcome: gate.Answer = "rejected" if known.state == "rejected" else "expired"
    return replace(verdict, verdict=outcome, promote=False, reasons=reasons)


def evidence(name: str, number: int, champion: int | None) -> dict[str, Any]:
    """A person's approval, for the audit trail; nothing when nobody was asked."""
    from ddpm.registry import approval

    known = approval.question(name, number)
    return {"approval": asdict(known)} if known and (known.state, known.champion) == ("approved", champion) else {}


@flow(name="approval", flow_run_name="approve-{name}-{number}", persist_result=False, validate_parameters=False)
def wait(name: str, number: int, champion: int | None, hours: float, reasons: list[str]) -> Any:
    """Ask, unless that was done before; pause until the answer or the end of the time. The question as it was closed.

    Raises ConflictError when the champion moves meanwhile: the question is void.
    """
    from ddpm.registry import approval

    run_liveness.hold_liveness_lock()
    run = UUID(str(flow_run.id))
    known = approval.ask(name, number, champion, hours, str(run), lock=registry_lock)
    if known.state == "asked":
        pause(known, name, run, reasons)
        text = f"version {number} of {name} waits for a person until {known.until}: `ddpm approve {number} --why ...`"
        text += f" or `ddpm reject {number} --why ...`, or the form on the run's page"
        reporter.ended("approval", "Waiting", text)
        get_run_logger().info("%s", text)
        if not known.notified:
            announce(known, name, text, reasons)
        known = answered(known, name, run)
        resume(run)
    return finish("approval", known.state.title(), str(known), known)


def announce(known: "Question", name: str, text: str, reasons: list[str]) -> None:
    """Notify of the question, and keep with it that this was done: the next run repeats what was killed before.

    A receiver recognises a repetition by its identifier, which is the question's own.
    """
    from ddpm.registry import approval

    identifier = str(uuid5(NAMESPACE, f"{name}/{known.version}/{known.asked}"))
    facts: dict[str, Any] = {
        "version": known.version,
        "champion": known.champion,
        "until": known.until,
        "reasons": reasons,
    }
    if notify.send("approval-asked", name, text, identifier=identifier, **facts):
        approval.set_notified(name, known, lock=registry_lock)


def pause(known: "Question", name: str, run: UUID, reasons: list[str]) -> None:
    """Show the form, and pause the run. Raises RuntimeError when Prefect does not let it pause."""
    from prefect.client.orchestration import get_client

    against = f"version {known.champion}" if known.champion is not None else "no champion"
    description = (
        f"Shall version {known.version} of {markdown.text(name)} become the champion (now: {against})? "
        f"Time to answer until {known.until}; without an answer the champion stays.\n\n"
        + "\n".join(f"- {markdown.text(reason)}" for reason in reasons)
    )
    Answer.with_initial_data(description=description).save(KEYS, run)
    left = datetime.fromisoformat(known.until) - datetime.now(UTC)
    state: State[Any] = Paused(timeout_seconds=int(left.total_seconds()) + GRACE, pause_key="approval")
    state.state_details.run_input_keyset = {str(key): value for key, value in KEYS.items()}
    with get_client(sync_client=True) as client:
        done = client.set_flow_run_state(run, state)
    if done.state is None or not done.state.is_paused():
        raise RuntimeError(f"the run could not be paused for the approval: {done.details}")


def answered(known: "Question", name: str, run: UUID) -> "Question":
    """Look here and there until there is an answer or the time is over; servers that are away meanwhile are waited for.

    Raises ConflictError when the champion has moved, RuntimeError when the run was cancelled.
    """
    import httpx
    from prefect.client.orchestration import get_client

    from ddpm import tracking

    last = datetime.fromisoformat(known.until) + timedelta(seconds=GRACE)
    away = False
    while True:
        try:
            with get_client(sync_client=True) as client, tracking.friendly_errors():
                found = look(client, known, name, run)
            if found.state != "asked":
                return found
            away = False
        except (httpx.HTTPError, tracking.TrackingError) as error:
            if datetime.now(UTC) > last:
                raise
            if not away:
                get_run_logger().warning("waiting on, though a server does not answer: %s", redacted(str(error)))
            away = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def look(client: "SyncPrefectClient", known: "Question", name: str, run: UUID) -> "Question":
    """The question as it is now, after the forms of all runs that asked it have been read."""
    from ddpm import registry
    from ddpm.registry import approval

    number = known.version
    now = approval.question(name, number) or known
    if now.state != "asked":
        return now
    champion = registry.status(name).aliases.get("champion")
    if champion != known.champion:
        raise registry.ConflictError(
            f"the champion of {name} is version {champion} now, not {known.champion}: it moved while version {number} "
            "waited for approval. Nothing was promoted; the next run judges it against the champion of then."
        )
    if now.overdue:
        return approval.expire(name, number, lock=registry_lock)
    for each in now.runs:
        if filled := form(client, UUID(each)):
            who = f"{filled.who.strip() or 'somebody'} on Prefect's page"
            with contextlib.suppress(registry.RegistryError):  # not the first answer, or too late: looked at again
                approve = filled.answer == "approve"
                return approval.answer(name, number, approve=approve, why=filled.why, who=who, lock=registry_lock)
    state = client.read_flow_run(run).state
    if state is not None and (state.is_final() or state.is_cancelling()):
        raise RuntimeError(f"the run that waits for approval was ended from outside: {state.name}")
    return now


def form(client: "SyncPrefectClient", run: UUID) -> Answer | None:
    """What a person filled in on a run's page, if anybody did."""
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        return Answer.model_validate_json(client.read_flow_run_input(run, KEYS["response"]))
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise
        return None


def resume(run: UUID) -> None:
    """Let the run go on: it is paused still, unless it was the form that was answered."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
        if state is not None and state.is_paused():
            client.set_flow_run_state(run, Running(), force=True)
