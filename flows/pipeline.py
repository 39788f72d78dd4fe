"""The flow that `make run` runs: every stage of DVC as a Prefect task, then from the record to the report."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from ddpm.config import params
from ddpm.runtime import hardware
from flows import changes, drift, limits, notify, promote, publish, source, stage, turn
from flows.console import reporter
from flows.report import write_page
from flows.stage import BusyError, Outcome, Stage
from flows.summary import Report

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
@turn.one_at_a_time
def pipeline(stop_on_drift: bool = False, keep: bool = False) -> Report:
    """Bring everything up to date: data, stages, record, registered version, champion.

    stop_on_drift: end before training when the data differ from the champion's by more than prepare.max_drift.
    keep: commit what shaped the version to the branch flow.branch.
    """
    settings = params.load()
    settings.require_files()
    source.heal(reporter.sayer("source", get_run_logger()))
    started, before = time.monotonic(), changes.fingerprint()
    outcomes, drifted = [], None
    for each in stage.graph():
        outcomes.append(run_stage(each, settings.flow))
        if each.name == drift.AFTER:
            drifted = drift.watch(settings, stop=stop_on_drift)
    changes.require_unedited(before, settings)
    report = promote.promote(settings, outcomes, drifted, keep=keep)
    notify.judged(report)
    report.seconds = time.monotonic() - started
    told: State[None] = write_page(report, return_state=True)
    told.result()
    publish.publish(report)
    changes.finished(before)
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
            outcome = stage.run(each, say, limit=limit)
        except BusyError:
            say("another DVC process is at work here; trying again shortly")
            raise
    if each.slot is not None and hardware.gpu_present():
        outcome = dataclasses.replace(outcome, gpu_seconds=outcome.seconds)
    reporter.ended(each.name, outcome.did, outcome.text)
    return Completed(name=outcome.did, message=outcome.text, data=outcome)


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
    """Hold the slot of the global limit `name`, where there is a GPU."""
    if name is None or not hardware.gpu_present():
        yield
        return
    with limits.one_slot(name, lease=SLOT_LEASE):
        yield
