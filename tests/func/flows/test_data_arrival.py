"""The event that data arrived starts the deployment `retrain`, on a real Prefect server."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support import changed_params

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def no_deployments(prefect: None, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without deployments and automations, in a folder with parameters."""
    monkeypatch.setenv("PREFECT_HOME", str(project / ".state/prefect"))
    with connected() as connection:
        for deployment in connection.read_deployments():
            connection.delete_deployment(deployment.id)
        for automation in connection.read_automations():
            connection.delete_automation(automation.id)
    changed_params.write(promote__name="digits")


def connected() -> Any:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


def register() -> Any:
    """Register the deployments as the runner of the service does; return `retrain`."""
    from prefect.runner import Runner

    from flows.service import runner

    asyncio.run(runner.record(Runner(name="ddpm"), "0 0 1 1 *"))
    with connected() as connection:
        return connection.read_deployment_by_name("retrain/retrain")


def announce(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import get_current_settings

    from flows.service import data_arrival

    monkeypatch.setenv("PREFECT_API_URL", str(get_current_settings().api.url))
    data_arrival.announce("digits")


def runs_of(deployment: Any) -> list[Any]:
    """Runs of the deployment that an automation has made."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    with connected() as connection:
        chosen = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        found = connection.read_flow_runs(deployment_filter=chosen)
    return [each for each in found if each.created_by and each.created_by.type == "AUTOMATION"]


def wait_until(done: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_command_starts_one_run_of_retrain(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = register()
    announce(monkeypatch)
    wait_until(lambda: runs_of(deployment))
    (run,) = runs_of(deployment)
    assert run.state.is_scheduled()
    assert run.parameters == {}


def test_any_client_emits_it() -> None:
    """By Prefect's own function, which sends in the background."""
    from prefect.events import emit_event

    deployment = register()
    emit_event("ddpm.data-left", {"prefect.resource.id": "ddpm.model.digits"})  # another event
    emit_event("ddpm.data-arrived", {"prefect.resource.id": "ddpm.model.digits"})
    wait_until(lambda: runs_of(deployment))
    assert len(runs_of(deployment)) == 1


def test_an_automation_that_was_switched_off_stays_off_when_the_service_restarts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.service.prefect_server import ServerError

    register()
    with connected() as connection:
        (automation,) = connection.read_automations()
        connection.pause_automation(automation.id)
    register()
    with connected() as connection:
        (automation,) = connection.read_automations()
        assert not automation.enabled
        with pytest.raises(ServerError, match=r"no automation .* starts `retrain`"):
            announce(monkeypatch)
        connection.resume_automation(automation.id)
    register()
    with connected() as connection:
        (automation,) = connection.read_automations()
    assert automation.enabled


def test_without_a_deployment_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.service.prefect_server import ServerError

    with pytest.raises(ServerError, match="Start `ddpm serve`, or run `prefect deploy`"):
        announce(monkeypatch)


def test_without_a_server_the_command_says_how_to_start_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ddpm.cli import app

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (project / "flows").mkdir()
    (project / "flows/__init__.py").touch()
    (project / "dvc.yaml").touch()
    result = CliRunner().invoke(app, ["data", "arrived"])
    assert result.exit_code == 1
    assert "no Prefect server runs here. Start the service: `ddpm serve`" in result.stderr
