"""Recovery of flow runs whose process has died: they become Crashed, and run again once, from the last checkpoint.

Prefect's heartbeats detect a dead run after 90 seconds at best, and only through an automation on the server. The lock
that each run holds (`flows.run_liveness`) shows it at once, even if no server was up when the process died.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Crashed

from flows import notify, run_liveness

FLOWS = ("pipeline", "retrain", "promote", "rollback", "approval")
"""The flows that hold a liveness lock."""
UNFINISHED = (StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING)
NOT_STARTED = (StateType.PENDING, StateType.SCHEDULED)
"""Further states of a task run whose flow was killed."""
RESUMED = "resumed"
"""Tag of a run that resumes a crashed run; it is not resumed itself."""
RESUMES = "resumes:"
"""Prefix of the tag that names the crashed run."""
RECENT = timedelta(hours=1)
"""Largest age of a crash that is resumed."""
PAGE = 200


def mark_dead_runs_crashed(client: SyncPrefectClient) -> list[FlowRun]:
    """Set the unfinished runs of this checkout whose process has died to Crashed, and notify; return those runs."""
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(UNFINISHED))))
    dead = []
    for run in _read(client, wanted, flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS)))):
        if run_liveness.is_alive(run.id) is not False:
            continue
        # The server refuses to leave a final state. So a run that has ended meanwhile keeps its state, and of several
        # callers (a starting run, the service, its runner) one succeeds, which notifies.
        answer: OrchestrationResult[Any] = client.set_flow_run_state(
            run.id, Crashed(message="the process of this run was killed")
        )
        if answer.status is SetStateStatus.ACCEPT:
            dead.append(run)
            _crash_tasks(client, run.id)
            notify.send_crash(run)
        run_liveness.forget(run.id)
    return dead


def _crash_tasks(client: SyncPrefectClient, run: UUID) -> None:
    """Set the unfinished task runs of a dead flow run to Crashed."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[*UNFINISHED, *NOT_STARTED])))
    for each in client.read_task_runs(flow_run_filter=of_run, task_run_filter=unfinished, limit=PAGE):
        client.set_task_run_state(each.id, Crashed(message="the process of this run was killed"), force=True)


def resume(client: SyncPrefectClient, deployments: Collection[UUID]) -> list[FlowRun]:
    """Run the recently crashed runs of these deployments once more; return the new runs."""
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED])))
    theirs = DeploymentFilter(id=DeploymentFilterId(any_=list(deployments)))
    since = datetime.now(UTC) - RECENT
    made = []
    for run in _read(client, wanted, deployment_filter=theirs):
        if run.deployment_id is None or RESUMED in run.tags or run.end_time is None or run.end_time < since:
            continue
        if _is_resumed(client, run.id):
            continue
        made.append(
            client.create_flow_run_from_deployment(
                run.deployment_id,
                parameters=run.parameters,
                tags=[RESUMED, f"{RESUMES}{run.id}"],
                idempotency_key=f"{RESUMES}{run.id}",
            )
        )
    return made


def _is_resumed(client: SyncPrefectClient, run: UUID) -> bool:
    """Return True if another run resumes it."""
    wanted = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"{RESUMES}{run}"]))
    return bool(_read(client, wanted))


def _read(client: SyncPrefectClient, wanted: FlowRunFilter, **others: Any) -> list[FlowRun]:
    """The newest matching runs, PAGE at most."""
    return client.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=PAGE, offset=0, **others
    )


def describe(run: FlowRun) -> str:
    """Name and ID of a run."""
    return f"{run.name} ({run.id})"
