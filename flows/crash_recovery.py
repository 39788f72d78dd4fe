"""Flow runs whose process has died: set to Crashed, and run again once, from the last checkpoint.

Prefect's own heartbeats would tell after 90 seconds at the soonest, and only through an automation of the server; the
lock that each run holds (`flows.run_liveness`) tells at once, and needs no server to be up at the moment of death.
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
"""The flows that show life."""
UNFINISHED = (StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING)
BEFORE = (StateType.PENDING, StateType.SCHEDULED)
"""Where else a task run may have stood when its flow was killed."""
RESUMED = "resumed"
"""The tag of a run that goes on where a killed one ended; such a run is not run again."""
RESUMES = "resumes:"
RECENT = timedelta(hours=1)
"""How long ago a run may have crashed and still be run again."""
PAGE = 200


def mark_dead_runs_crashed(client: SyncPrefectClient) -> list[FlowRun]:
    """Set every unfinished run of this checkout whose process has died to Crashed, and notify; those runs."""
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(UNFINISHED))))
    dead = []
    for run in _read(client, wanted, flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS)))):
        if run_liveness.is_alive(run.id) is not False:
            continue
        # The server refuses to leave a final state: the run may have ended meanwhile, and of several that look (a run
        # that begins, the service, its runner) it accepts one, which notifies.
        answer: OrchestrationResult[Any] = client.set_flow_run_state(
            run.id, Crashed(message="the process of this run was killed")
        )
        if answer.status is SetStateStatus.ACCEPT:
            dead.append(run)
            _crash_tasks(client, run.id)
            notify.crashed(run)
        run_liveness.forget(run.id)
    return dead


def _crash_tasks(client: SyncPrefectClient, run: UUID) -> None:
    """Set the unfinished task runs of a dead flow run to Crashed: nobody else can."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[*UNFINISHED, *BEFORE])))
    for each in client.read_task_runs(flow_run_filter=of_run, task_run_filter=unfinished, limit=PAGE):
        client.set_task_run_state(each.id, Crashed(message="the process of this run was killed"), force=True)


def resume(client: SyncPrefectClient, deployments: Collection[UUID]) -> list[FlowRun]:
    """Run again, once, what has crashed lately of these deployments; the new runs."""
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
    """Whether another run goes on from it."""
    wanted = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"{RESUMES}{run}"]))
    return bool(_read(client, wanted))


def _read(client: SyncPrefectClient, wanted: FlowRunFilter, **others: Any) -> list[FlowRun]:
    """The newest of the runs that are wanted."""
    return client.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=PAGE, offset=0, **others
    )


def described(run: FlowRun) -> str:
    """Its name and id, for a line."""
    return f"{run.name} ({run.id})"
