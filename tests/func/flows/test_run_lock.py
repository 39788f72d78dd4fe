"""Run lock, liveness locks and recovery of dead runs, with real processes that are killed."""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.receiving import SECRET, receiver

ROOT = Path(__file__).parents[3]


pytestmark = pytest.mark.usefixtures("prefect", "project")


LIVES = """\
import time
from prefect import flow, task
from flows import run_lock

@task(name="work", persist_result=False)
def work(run: str) -> None:
    print(run, flush=True)
    time.sleep(600)

@flow(name="retrain", flow_run_name="retrain", persist_result=False)
@run_lock.one_at_a_time
def retrain() -> None:
    from prefect.runtime import flow_run
    work(flow_run.id)

retrain()
"""


@pytest.fixture
def run() -> Iterator["subprocess.Popen[str]"]:
    """A flow run in the current folder, in another process."""
    from prefect.settings import PREFECT_API_URL

    told = {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", LIVES], env=os.environ | told, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    yield child
    child.kill()
    child.wait()


def started(run: "subprocess.Popen[str]") -> UUID:
    assert run.stdout is not None
    return UUID(run.stdout.readline().strip())


def kill(run: "subprocess.Popen[str]") -> None:
    run.kill()
    run.wait()


def client() -> Any:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


def test_a_second_run_is_skipped_with_the_reason_until_the_first_has_ended(run: "subprocess.Popen[str]") -> None:
    from prefect import flow

    from flows import run_lock

    worked = []

    @flow(name="second", persist_result=False)
    @run_lock.one_at_a_time
    def second(text: str = "done") -> None:
        @run_lock.one_at_a_time
        def inner() -> None:  # a body that runs another goes on in its own turn
            worked.append(text)

        inner()

    first = started(run)
    state = second(return_state=True)
    assert (state.name, state.is_completed(), worked) == ("Skipped", True, [])
    assert f"another run is active in this checkout: retrain ({first}), process {run.pid}, since " in state.message
    with client() as connection:
        skipped = connection.read_flow_run(state.state_details.flow_run_id)
    assert (skipped.name, skipped.tags) == ("second: skipped, another run was active", ["skipped"])
    kill(run)
    assert second(text="then", return_state=True).name == "Completed"
    assert worked == ["then"]
    with client() as connection:  # notified by the next run
        assert connection.read_flow_run(first).state.is_crashed()


def test_a_killed_run_is_crashed_and_a_running_one_is_not(run: "subprocess.Popen[str]") -> None:
    from flows import crash_recovery, run_liveness

    first = started(run)
    with client() as connection:
        assert run_liveness.is_alive(first) is True
        assert crash_recovery.mark_dead_runs_crashed(connection) == []
        assert connection.read_flow_run(first).state.is_running()
        kill(run)
        assert run_liveness.is_alive(first) is False
        assert [each.id for each in crash_recovery.mark_dead_runs_crashed(connection)] == [first]
        state = connection.read_flow_run(first).state
        assert (state.name, state.message) == ("Crashed", "the process of this run was killed")
        assert run_liveness.is_alive(first) is None
        assert crash_recovery.mark_dead_runs_crashed(connection) == []


def test_of_several_processes_that_find_a_killed_run_one_notifies(
    run: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service and a starting run, for example, both find a dead run before either has recorded it."""
    from flows import crash_recovery, run_liveness

    first = started(run)
    kill(run)
    is_alive, alone, both = run_liveness.is_alive, threading.Lock(), threading.Barrier(2)

    def seen_by_both(flow_run: Any) -> bool | None:
        with alone:
            found = is_alive(flow_run)
        both.wait(60)
        return found

    def look() -> list[UUID]:
        with client() as connection:
            return [each.id for each in crash_recovery.mark_dead_runs_crashed(connection)]

    with receiver() as web, ThreadPoolExecutor(2) as pool:
        monkeypatch.setenv("DDPM_WEBHOOK_URL", web.url)
        monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
        monkeypatch.setattr(run_liveness, "is_alive", seen_by_both)
        looks = [pool.submit(contextvars.copy_context().run, look) for _ in range(2)]  # with Prefect's settings
        found = [each.result() for each in looks]
        message = web.next()
        assert web.empty()
    assert sorted(found) == [[], [first]]
    assert (message["type"], message["run"], message["state"]) == ("ddpm.failed", "retrain", "Crashed")
    assert message["page"].endswith(f"/runs/flow-run/{first}")


def test_a_run_that_the_runner_sets_to_crashed_is_notified_of_by_the_runner_only(
    run: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hooks run only if Prefect accepts the state from it, and our notification only if from us."""
    from prefect.client.orchestration import get_client
    from prefect.runner._state_proposer import StateProposer

    from flows import crash_recovery

    first = started(run)
    kill(run)

    async def proposed() -> Any:
        async with get_client() as connection:
            return await StateProposer(client=connection).propose_crashed(
                await connection.read_flow_run(first), "exit -9"
            )

    with receiver() as web, client() as connection:
        monkeypatch.setenv("DDPM_WEBHOOK_URL", web.url)
        monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
        assert asyncio.run(proposed()) is not None
        assert crash_recovery.mark_dead_runs_crashed(connection) == []
        assert asyncio.run(proposed()) is None
        assert web.empty()


def _is_running(task_run: Any) -> bool:
    """Return True if a task run is running; it has no state until the server has processed the first event."""
    return task_run.state is not None and task_run.state.is_running()


def test_the_tasks_of_a_killed_run_do_not_stay_running(run: "subprocess.Popen[str]") -> None:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    from flows import crash_recovery

    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[started(run)]))
    with client() as connection:
        while not [each for each in connection.read_task_runs(flow_run_filter=of_run) if _is_running(each)]:
            time.sleep(0.2)  # its states reach the server as events; the test's own time limit ends this
        kill(run)
        crash_recovery.mark_dead_runs_crashed(connection)
        assert [each.state.name for each in connection.read_task_runs(flow_run_filter=of_run)] == ["Crashed"]


def test_runs_of_another_checkout_are_left_alone(
    run: "subprocess.Popen[str]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import crash_recovery

    first = started(run)
    kill(run)
    monkeypatch.chdir(tmp_path)
    with client() as connection:
        assert crash_recovery.mark_dead_runs_crashed(connection) == []
        assert connection.read_flow_run(first).state.is_running()


def test_a_crashed_run_is_resumed_once_and_a_resumed_run_never() -> None:
    from prefect import flow
    from prefect.states import Crashed, Running

    from flows import crash_recovery

    @flow(name="retrain", persist_result=False)
    def retrain(force: bool = False) -> None:
        pass

    with client() as connection:
        deployment = connection.create_deployment(connection.create_flow(retrain), name="again")
        first = connection.create_flow_run_from_deployment(deployment, parameters={"force": True})

        def crash(run: UUID) -> None:
            for state in (Running(), Crashed()):
                connection.set_flow_run_state(run, state)

        assert crash_recovery.resume(connection, [deployment]) == []
        crash(first.id)
        (second,) = crash_recovery.resume(connection, [deployment])
        assert second.parameters == {"force": True}
        assert set(second.tags) == {"resumed", f"resumes:{first.id}"}
        assert crash_recovery.resume(connection, [deployment]) == []
        crash(second.id)
        assert crash_recovery.resume(connection, [deployment]) == []
