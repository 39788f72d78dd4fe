"""Stages as tasks of a real Prefect server: final states, retries and the GPU slot."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ddpm.config import params
from ddpm.runtime import hardware
from tests.support.repositories import sh

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("prefect")


def run_flow(settings: params.Flow) -> tuple[UUID, Any]:
    """Run all stages of the current repository in one flow run; its ID and final state."""
    from prefect import flow

    from flows import dvc
    from flows.tasks import stage

    @flow(name="stages", persist_result=False)
    def stages() -> list[Any]:
        return [stage.run_stage(each, settings) for each in dvc.graph()]

    state = stages(return_state=True)
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id, state


def task_runs(flow_run: UUID, count: int) -> dict[str, Any]:
    """The task runs on the server, by name; it records them from events, a moment later."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import TaskRunSort

    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_task_runs(flow_run_filter=wanted, sort=TaskRunSort.END_TIME_DESC, limit=200, offset=0)
            if len(found) >= count and all(each.state and each.state.is_final() for each in found):
                return {each.name: each for each in found}
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


def settings(retries: int = 0) -> params.Flow:
    return params.Flow(time_limit=60, retries=retries, cron="0 3 * * *", branch="")


def test_states_are_named_after_dvcs_results(make_repository: Make) -> None:
    folder = make_repository()
    first, _ = run_flow(settings())
    (folder / "loud.txt").unlink()
    second, _ = run_flow(settings())
    names = [{name: run.state.name for name, run in task_runs(each, 3).items()} for each in (first, second)]
    assert names[0] == {"data.dvc": "Cached", "shout": "Completed", "count": "Completed"}
    assert names[1] == {"data.dvc": "Cached", "shout": "Restored", "count": "Cached"}


def test_a_failed_stage_is_not_retried_and_ends_the_flow(make_repository: Make) -> None:
    folder = make_repository(shout="open('tried', 'a').write('x')\nraise SystemExit('error: no voice')")
    flow_run, state = run_flow(settings(retries=3))
    assert state.is_failed()
    assert "no voice" in str(state.result(raise_on_failure=False))
    assert (folder / "tried").read_text() == "x"
    assert set(task_runs(flow_run, 2)) == {"data.dvc", "shout"}


def test_a_busy_lock_is_waited_for(make_repository: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.tasks import stage

    monkeypatch.setattr(stage, "SECONDS_BETWEEN_TRIES", 1)
    folder = make_repository()
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    rwlock.write_text(json.dumps({"write": {str(folder / "loud.txt"): {"pid": os.getpid(), "cmd": "dvc repro"}}}))
    seen_busy = threading.Event()
    make_log = stage.reporter.logger

    def listening(part: str, logger: Any) -> Callable[[str], None]:
        log = make_log(part, logger)

        def listen(text: str) -> None:
            log(text)
            if "another DVC process" in text:
                rwlock.write_text("{}")  # the other one has finished
                seen_busy.set()

        return listen

    monkeypatch.setattr(stage.reporter, "logger", listening)
    flow_run, state = run_flow(settings(retries=2))
    assert seen_busy.is_set()
    assert state.is_completed()
    assert task_runs(flow_run, 3)["shout"].run_count == 2


def test_lines_of_a_stage_reach_prefect(make_repository: Make) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    make_repository()
    flow_run, _ = run_flow(settings())
    deadline = time.monotonic() + 30
    with get_client(sync_client=True) as client:
        while True:
            logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run])), limit=200, offset=0)
            if "shouting" in [log.message for log in logs]:
                return
            assert time.monotonic() < deadline, [log.message for log in logs]
            time.sleep(0.3)


def test_one_task_at_a_time_holds_the_slot_and_the_limit_is_created_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client

    from flows.tasks import stage

    monkeypatch.setattr(hardware, "gpu_present", lambda: True)
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with stage.slot("gpu"):
            with guard:
                inside += 1
                most = max(most, inside)
            time.sleep(0.5)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == 1
    with get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name("gpu")
        assert (limit.limit, limit.active_slots) == (1, 0)


def test_no_slot_without_a_gpu_or_without_meta_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.tasks import stage

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # would fail if it were asked
    monkeypatch.setattr(hardware, "gpu_present", lambda: False)
    with stage.slot("gpu"):
        pass
    monkeypatch.setattr(hardware, "gpu_present", lambda: True)
    with stage.slot(None):
        pass


def test_retraining_skips_what_is_finished_and_sees_every_kind_of_change(make_repository: Make) -> None:
    from flows import dvc, retrain, up_to_date

    folder = make_repository()
    for name in ("src", "flows"):
        (folder / name).mkdir()
        (folder / name / "code.py").write_text("x = 1\n")
    shutil.copy(Path(__file__).parents[3] / "params.yaml", folder / "params.yaml")
    assert not up_to_date.matches_last_run()
    before = up_to_date.fingerprint()
    for each in dvc.graph():
        dvc.run(each, lambda line: None)
    up_to_date.record_finished(before)
    assert up_to_date.matches_last_run()
    state = retrain.retrain(return_state=True)
    assert (state.name, state.is_completed()) == ("Skipped", True)
    for path, text in (("params.yaml", "other\n"), ("src/code.py", "x = 2\n"), ("data/a.txt", "b"), ("loud.txt", "")):
        kept = (folder / path).read_text()
        (folder / path).unlink()
        (folder / path).write_text(text)
        assert not up_to_date.matches_last_run(), path
        (folder / path).unlink()
        (folder / path).write_text(kept)
    assert up_to_date.matches_last_run()
    sh(folder, "rm", "-rf", "data")
    assert not up_to_date.matches_last_run()
