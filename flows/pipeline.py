"""The flow that `make run` runs: every stage of DVC as a Prefect task, then from the record to the report."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from ddpm.config import params
from ddpm.runtime import hardware
from flows import dvc, notify, promotion, run_lock, up_to_date
from flows.console import reporter
from flows.dvc import BusyError, Outcome, Stage
from flows.summary import Report
from flows.tasks import artifacts, data_update, drift
from flows.tasks.outcome import finish
from flows.tasks.report import write_page

if TYPE_CHECKING:
    from prefect.client.schemas.objects import TaskRun

SECONDS_BETWEEN_TRIES = 5.0
SLOT_LEASE = 120.0
"""Seconds after which the slot of a killed run is free again; a living one renews it."""


@flow(
    name="pipeline",
    flow_run_name="pipeline",
    persist_result=False,
    validate_parameters=False,
    on_failure=[notify.ended],
    on_crashed=[notify.ended],
)
@run_lock.one_at_a_time
def pipeline(stop_on_drift: bool = False, keep: bool = False) -> Report:
    """Bring everything up to date: data, stages, record, registered version, champion.

    stop_on_drift: end before training when the data differ from the champion's by more than prepare.max_drift.
    keep: commit what shaped the version to the branch flow.branch.
    """
    settings = params.load()
    settings.require_files()
    data_update.heal(reporter.sayer("source", get_run_logger()))
    started, before = time.monotonic(), up_to_date.fingerprint()
    outcomes, drifted = [], None
    for each in dvc.graph():
        outcomes.append(run_stage(each, settings.flow))
        if each.name == drift.AFTER:
            drifted = drift.watch(settings, stop=stop_on_drift)
    up_to_date.require_unedited(before, settings)
    report = promotion.promote(settings, outcomes, drifted, keep=keep)
    notify.judged(report)
    report.seconds = time.monotonic() - started
    told: State[None] = write_page(report, return_state=True)
    told.result()
    artifacts.publish(report)
    up_to_date.finished(before)
    return report


def run_stage(each: Stage, settings: params.Flow) -> Outcome:
    """Run one stage as a task of its own name, tried again only when something transient was in the way."""
    named = again(bring_up_to_date, each.name, settings)
    state: State[Outcome] = named(each, settings.time_limit, return_state=True)
    return state.result()


def again(work: Any, name: str, settings: params.Flow) -> Any:
    """A task under a name, that is tried again when another DVC process was in the way."""
    return work.with_options(
        name=name,
        task_run_name=name,
        retries=settings.retries,
        retry_delay_seconds=SECONDS_BETWEEN_TRIES,
        retry_condition_fn=transient,
    )


@task(cache_policy=NO_CACHE, persist_result=False)
def bring_up_to_date(each: Stage, limit: float) -> Any:
    """One stage, in a process group that ends with this task. The final state is named by what DVC did."""
    say = reporter.sayer(each.name, get_run_logger())
    with slot(each.slot):
        try:
            outcome = dvc.run(each, say, limit=limit)
        except BusyError:
            say("another DVC process is at work here; trying again shortly")
            raise
    if each.slot is not None and hardware.gpu_present():
        outcome = dataclasses.replace(outcome, gpu_seconds=outcome.seconds)
    return finish(each.name, outcome.did, outcome.text, outcome)


def transient(task: Any, run: "TaskRun", state: State[Any]) -> bool:
    """Whether trying again can help: only when another DVC process was in the way."""
    try:
        state.result()
    except BusyError:
        return True
    except Exception:  # noqa: BLE001 - whatever it is, it would fail again; the state of the task has it
        return False
    return False


@contextlib.contextmanager
def slot(name: str | None) -> Iterator[None]:
    """Hold one slot of the global limit `name` (made with one slot when it is missing), where there is a GPU."""
    if name is None or not hardware.gpu_present():
        yield
        return
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.concurrency.sync import concurrency
    from prefect.exceptions import ObjectAlreadyExists

    # Not "look, then make": two that look at once would both make it, and one would fail.
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    with concurrency(name, occupy=1, lease_duration=SLOT_LEASE, strict=True):
        yield
