"""Schedules of deployments: what users changed on the page is kept across restarts of the service."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("prefect", "project")


def client() -> Any:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


def recorded(cron: str) -> dict[str, Any]:
    """The deployments after a runner has started."""
    from prefect.runner import Runner

    from flows.service import runner
    from flows.service.schedule import DEPLOYMENTS

    asyncio.run(runner.record(Runner(name="ddpm"), cron))
    with client() as connection:
        return {each: connection.read_deployment_by_name(f"{each}/{each}") for each in DEPLOYMENTS}


@pytest.fixture
def fresh_deployments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all deployments and notes about them."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    with client() as connection:
        for each in connection.read_deployments():
            connection.delete_deployment(each.id)


@pytest.mark.usefixtures("fresh_deployments")
def test_a_restarted_service_resumes_its_schedule() -> None:
    """A runner that stops pauses its deployments."""
    from flows.service import runner
    from flows.service.schedule import describe

    for cron in ("0 3 * * *", "0 4 * * *"):
        found = recorded(cron)
        assert not any(each.paused for each in found.values())
        assert [each.schedule.cron for each in found["retrain"].schedules if each.active] == [cron]
        assert found["promote"].schedules == found["rollback"].schedules == []
        runner.pause()
        with client() as connection:
            assert all(connection.read_deployment(each.id).paused for each in found.values())
        for soon in (cron, "0 5 * * *"):  # before the next runner has recorded anything
            assert describe(soon).startswith(f"retraining at {soon!r} (UTC), and when asked")


@pytest.mark.usefixtures("fresh_deployments")
@pytest.mark.parametrize("stops", [True, False], ids=["stopped", "killed"])
def test_a_deployment_switched_off_on_the_page_stays_off(stops: bool) -> None:
    """Across a runner that dies, a restart of the service, and a change of `flow.cron`."""
    from flows.service import runner
    from flows.service.schedule import describe

    found = recorded("0 3 * * *")
    assert describe("0 3 * * *").startswith("retraining at '0 3 * * *' (UTC), and when asked")
    with client() as connection:
        (schedule,) = found["retrain"].schedules
        connection.update_deployment_schedule(found["retrain"].id, schedule.id, active=False)
        connection.pause_deployment(found["promote"].id)
    for cron in ("0 3 * * *", "0 3 * * *", "0 4 * * *"):
        if stops:
            runner.pause()
            assert "is switched off on Prefect's page and stays off" in describe(cron)
        found = recorded(cron)
        assert [each.active for each in found["retrain"].schedules] == [False]
        assert [each.schedule.cron for each in found["retrain"].schedules] == [cron]
        assert {name: each.paused for name, each in found.items()} == {
            "retrain": False, "promote": True, "rollback": False
        }  # fmt: skip
        assert "is switched off on Prefect's page and stays off" in describe(cron)
    with client() as connection:
        (schedule,) = found["retrain"].schedules
        connection.update_deployment_schedule(found["retrain"].id, schedule.id, active=True)
        connection.resume_deployment(found["promote"].id)
    found = recorded("0 4 * * *")
    assert [each.active for each in found["retrain"].schedules] == [True]
    assert not any(each.paused for each in found.values())


@pytest.mark.usefixtures("fresh_deployments")
def test_a_paused_deployment_stays_paused_when_a_runner_fails_at_its_start() -> None:
    from flows.service import runner

    found = recorded("0 3 * * *")
    with client() as connection:
        connection.pause_deployment(found["retrain"].id)
    runner.pause()
    runner.pause()  # a runner that ended before it had recorded anything
    found = recorded("0 3 * * *")
    assert {name: each.paused for name, each in found.items()} == {"retrain": True, "promote": False, "rollback": False}


@pytest.mark.usefixtures("fresh_deployments")
def test_schedules_that_were_changed_added_or_removed_on_the_page_are_kept() -> None:
    from prefect.client.schemas.schedules import CronSchedule

    from flows.service.schedule import describe

    found = recorded("0 3 * * *")["retrain"]
    weekly = CronSchedule(cron="0 6 * * 1", timezone="Europe/Berlin")
    with client() as connection:
        connection.create_deployment_schedules(found.id, [(weekly, True)])
        connection.update_deployment_schedule(
            found.id, found.schedules[0].id, schedule=CronSchedule(cron="30 2 * * *", timezone="UTC")
        )
    found = recorded("0 3 * * *")["retrain"]
    assert {each.schedule.cron for each in found.schedules} == {"30 2 * * *", "0 6 * * 1"}
    assert "as set on Prefect's page (flow.cron: '0 3 * * *')" in describe("0 3 * * *")
    found = recorded("0 5 * * *")["retrain"]
    assert {each.schedule.cron for each in found.schedules} == {"0 5 * * *", "0 6 * * 1"}
    with client() as connection:
        for each in found.schedules:
            connection.delete_deployment_schedule(found.id, each.id)
    assert recorded("0 5 * * *")["retrain"].schedules == []
