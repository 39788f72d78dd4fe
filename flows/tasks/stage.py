"""The task of one DVC stage: bring it up to date, holding the GPU slot if it needs the GPU."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from ddpm.config import params
from ddpm.runtime import hardware
from flows import concurrency, dvc
from flows.console import reporter
from flows.dvc import BusyError, Stage, StageRun
from flows.tasks.outcome import finish

if TYPE_CHECKING:
    from prefect.client.schemas.objects import TaskRun

SECONDS_BETWEEN_TRIES = 5.0
SLOT_LEASE = 120.0
"""Seconds after which the slot of a killed run is free again; a running one renews its lease."""


def run_stage(each: Stage, settings: params.Flow) -> StageRun:
    """Run one stage as a task that has its name."""
    named = with_retries(bring_up_to_date, each.name, settings)
    state: State[StageRun] = named(each, settings.time_limit, return_state=True)
    return state.result()


def with_retries(work: Any, name: str, settings: params.Flow) -> Any:
    """The task `work` under a name, retried while another DVC process holds a lock."""
    return work.with_options(
        name=name,
        task_run_name=name,
        retries=settings.retries,
        retry_delay_seconds=SECONDS_BETWEEN_TRIES,
        retry_condition_fn=transient,
    )


@task(cache_policy=NO_CACHE, persist_result=False)
def bring_up_to_date(each: Stage, limit: float) -> Any:
    """Run one stage in a process group that ends with this task. The final state is named after DVC's result."""
    log = reporter.logger(each.name, get_run_logger())
    with slot(each.slot):
        try:
            outcome = dvc.run(each, log, limit=limit)
        except BusyError:
            log("another DVC process is running here; trying again shortly")
            raise
    if each.slot is not None and hardware.gpu_present():
        outcome = dataclasses.replace(outcome, gpu_seconds=outcome.seconds)
    return finish(each.name, outcome.result, outcome.text, outcome)


def transient(task: Any, run: "TaskRun", state: State[Any]) -> bool:
    """Return True if a retry may succeed: only if another DVC process held a lock."""
    try:
        state.result()
    except BusyError:
        return True
    except Exception:  # noqa: BLE001 - any other failure would repeat, and is in the task's state
        return False
    return False


@contextlib.contextmanager
def slot(name: str | None) -> Iterator[None]:
    """Hold the slot of the global limit `name` if this machine has a GPU."""
    if name is None or not hardware.gpu_present():
        yield
        return
    with concurrency.hold_slot(name, lease=SLOT_LEASE):
        yield
