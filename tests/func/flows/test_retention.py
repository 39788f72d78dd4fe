"""The task of retraining that deletes rejected candidates, on a real Prefect server."""

from typing import Any

import pytest

from ddpm.common.locks import LockBusyError
from tests.support import candidates, changed_params

pytestmark = pytest.mark.usefixtures("prefect", "project")


def state_of(days: float) -> Any:
    """The final state of the task in a flow."""
    from prefect import flow

    from flows.tasks import retention

    states = []

    @flow(name="pruning", persist_result=False)
    def pruning() -> None:
        states.append(retention.prune("digits", days, return_state=True))

    pruning()
    return states[0]


def test_rejected_candidates_are_deleted_by_age() -> None:
    runs = candidates.judged("digits", "worse", "worse")
    assert (state_of(30).name, candidates.exists(runs[0])) == ("Cached", True)
    done = state_of(0)
    assert done.name == "Completed"
    assert "1 rejected candidate deleted" in done.message
    assert [candidates.exists(each) for each in runs] == [False, True]


def test_a_record_that_is_busy_postpones_the_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    from ddpm import registry

    def busy(*_: Any, **__: Any) -> None:
        raise LockBusyError("another process is changing digits in the registry")

    monkeypatch.setattr(registry, "prune_rejected", busy)
    done = state_of(0)
    assert done.is_completed()
    assert done.name == "Postponed"
    assert "another process" in done.message


@pytest.mark.parametrize("days", [None, 0.0])
def test_retraining_deletes_only_if_params_yaml_has_a_number_of_days(
    days: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where nothing has changed."""
    from flows import retrain, up_to_date
    from flows.tasks import data_update

    changed_params.write(flow__rejected_days=days, flow__branch="", promote__name="digits")
    runs = candidates.judged("digits", "worse", "worse")
    monkeypatch.setattr(data_update, "recover", lambda _: None)
    monkeypatch.setattr(data_update, "has_source", lambda: False)
    monkeypatch.setattr(up_to_date, "reason_to_skip", lambda *_: "nothing has changed")
    state: Any = retrain.retrain(return_state=True)
    assert state.name == "Skipped"
    assert [candidates.exists(each) for each in runs] == [days is None, True]
