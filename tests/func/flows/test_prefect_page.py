"""Addresses of flow runs for pages that outlive the run."""

from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

from flows import prefect_page

SERVER = "http://127.0.0.1:4200"


@pytest.mark.parametrize("ends", [False, True])
def test_a_run_has_a_link_unless_its_server_ends_with_it(ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = str(uuid4())
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", run)
    if ends:
        monkeypatch.setenv(prefect_page.ENDS_WITH_RUN, f"{SERVER}/api")
    with temporary_settings({PREFECT_API_URL: f"{SERVER}/api"}, restore_defaults={PREFECT_UI_URL}):
        found = prefect_page.current()
    assert found == {f"Prefect run {run}": "" if ends else f"{SERVER}/runs/flow-run/{run}"}


def test_the_variable_of_another_server_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(uuid4()))
    monkeypatch.setenv(prefect_page.ENDS_WITH_RUN, "http://127.0.0.1:4201/api")
    with temporary_settings({PREFECT_API_URL: f"{SERVER}/api"}, restore_defaults={PREFECT_UI_URL}):
        assert all(prefect_page.current().values())


def test_there_is_no_address_outside_of_a_run() -> None:
    assert prefect_page.current() == {}
