"""Trials hold the GPU slot of a real Prefect server, and only where there are a GPU and a server."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddpm.runtime import hardware

SLOT = "gpu"


@pytest.fixture(autouse=True)
def server(prefect: None, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server of the tests, named by the environment, on a machine with a GPU."""
    from prefect.settings import get_current_settings

    monkeypatch.setattr(hardware, "gpu_present", lambda: True)
    url = str(get_current_settings().api.url)
    monkeypatch.setenv("PREFECT_API_URL", url)
    return url


def in_use() -> int:
    """Slots in use."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            return int(client.read_global_concurrency_limit_by_name(SLOT).active_slots)
        except ObjectNotFound:
            return 0


@pytest.fixture
def execute(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a module as `ddpm try` does; return the slots in use meanwhile."""
    from ddpm.cli import trial
    from flows import processes

    monkeypatch.setattr(processes, "run", lambda *_, **__: in_use())

    def run(*command: str) -> int:
        found: Any = trial.execute(*command, log=lambda _: None, folder=Path(), environment={})
        return int(found)

    return run


def test_what_computes_holds_the_slot(execute: Callable[..., int]) -> None:
    assert execute("dvc", "repro", "evaluate") == 1
    assert execute("ddpm.stages.rescore", "a", "b") == 1
    assert execute("dvc", "exp", "save") == 0
    assert in_use() == 0


def test_without_a_gpu_or_a_server_nothing_is_held(
    execute: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(hardware, "gpu_present", lambda: False)
        assert execute("dvc", "repro", "evaluate") == 0
    monkeypatch.setenv("PREFECT_HOME", str(Path(".state/prefect").absolute()))
    monkeypatch.delenv("PREFECT_API_URL")
    assert execute("dvc", "repro", "evaluate") == 0


def test_a_trial_waits_for_a_run_that_has_the_gpu() -> None:
    from flows import concurrency
    from flows.service.gpu_slot import gpu_slot

    log: list[str] = []
    waits, done = threading.Event(), threading.Event()

    def note(line: str) -> None:
        log.append(line)
        waits.set()

    def trial() -> None:
        with gpu_slot(note):
            done.set()

    with concurrency.hold_slot(SLOT, lease=60):
        thread = threading.Thread(target=trial)
        thread.start()
        assert waits.wait(60)
        assert not done.is_set()
    assert done.wait(60)
    thread.join()
    assert log[0].startswith("waiting for the GPU: another run holds the slot `gpu` of http://127.0.0.1:")
    assert in_use() == 0


def test_a_server_that_does_not_answer_is_an_error(
    execute: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.service.prefect_server import free_port

    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    with pytest.raises(ConnectionError, match="does not answer"):
        execute("dvc", "repro", "evaluate")
