"""Approval on a real Prefect server and registry: all ways to answer, and no answer."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddpm import registry, tracking
from ddpm.common import files
from ddpm.config import presets
from ddpm.data import profile
from ddpm.registry import approval as questions
from ddpm.registry.versions import VERIFIED_TAG
from ddpm.tracking import outputs
from tests.support.approving import (
    NAME,
    PATIENCE,
    ROOT,
    Asked,
    champion,
    ddpm,
    notified,
    paused,
    resumed,
    state_of,
    verdict_of,
)

pytestmark = pytest.mark.usefixtures("versions")


def test_the_form_approves_and_the_audit_trail_names_the_approver(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client

    with notified(monkeypatch) as web:
        future = ask()
        run = paused()
        message = web.next()
    assert (message["type"], message["version"], message["champion"]) == ("ddpm.approval-asked", 2, 1)
    assert "ddpm approve 2 --why" in message["text"]
    assert message["page"].endswith(f"/runs/flow-run/{run}")
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
        assert state is not None
        form = client.read_flow_run_input(run, state.state_details.run_input_keyset["schema"])  # type: ignore[index]
    assert '"approve"' in form
    assert resumed(run, answer="approve", why=" ").status.value == "REJECT"
    assert resumed(run, answer="perhaps", why="x").status.value == "REJECT"
    assert champion() == 1
    assert resumed(run, answer="approve", why="sharper sevens", who="Ann").status.value == "ACCEPT"
    assert verdict_of(future).reasons[-1] == "approved by Ann on Prefect's page: sharper sevens"
    assert champion() == 2
    move = registry.history(NAME)[-1]
    assert "approved by Ann on Prefect's page" in move.why
    evidence = tracking.client().download_artifacts(move.run_id, "evidence.json", str(Path.cwd()))
    kept = files.read_json(Path(evidence))["approval"]
    assert (kept["state"], kept["who"], kept["champion"]) == ("approved", "Ann on Prefect's page", 1)


def test_the_command_approves(ask: Asked) -> None:
    future = ask()
    run = paused()
    ddpm("approve", "2", "--why", "fine")
    assert verdict_of(future).promote
    assert champion() == 2
    assert state_of(run) == "Approved"


def test_a_rejection_keeps_the_champion_and_is_not_asked_again(ask: Asked) -> None:
    from flows.summary import heading

    future = ask()
    paused()
    ddpm("reject", "2", "--why", "blurred")
    verdict = verdict_of(future)
    assert (verdict.verdict, verdict.promote, champion()) == ("rejected", False, 1)
    assert heading(verdict)[1] == "not promoted: rejected by a person"
    assert verdict.reasons[-1].endswith(": blurred")
    assert verdict_of(ask()) == verdict


def test_without_an_answer_in_time_the_champion_stays(ask: Asked) -> None:
    from flows.summary import heading

    verdict = verdict_of(ask(3 / 3600))
    assert (verdict.verdict, verdict.promote, champion()) == ("expired", False, 1)
    assert heading(verdict)[1] == "not promoted: not approved in time"
    assert "not answered by" in verdict.reasons[-1]


def test_a_champion_that_moved_meanwhile_fails_the_run_and_nothing_is_written(ask: Asked) -> None:
    future = ask()
    paused()
    registry.promote(NAME, 3, why="by hand", expected_champion=1)
    state = future.result(PATIENCE)
    assert state.is_failed()
    assert "the champion of digits is version 3 now, not 1: it moved while version 2 waited" in state.message
    assert champion() == 3
    assert [move.target for move in registry.history(NAME)] == [1, 3]


def test_a_run_that_is_cancelled_ends_and_the_question_stays(ask: Asked) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    future = ask()
    run = paused()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Cancelled(), force=True)
    assert not future.result(PATIENCE).is_completed()
    known = questions.question(NAME, 2)
    assert known is not None
    assert known.state == "asked"


def test_the_whole_promotion_waits_for_approval(tiny_checkpoint: Path) -> None:
    """From finished stages to a first champion. The version is already verified, to save time."""
    from prefect import flow

    from flows import promotion
    from flows.tasks import candidate

    settings = presets.load(ROOT / "presets" / "quick.yaml")
    no_limits = {"max_fid": None, "min_inception_score": None, "min_class_share": None}
    chosen = settings.promote.model_copy(
        update={"name": "first", "approval": "person", "approval_hours": 0.1, **no_limits}
    )
    settings = settings.model_copy(update={"promote": chosen})
    metrics = {"fid": 3.0, "conditions": {"weights_sha256": "x"}}
    shutil.copytree(tiny_checkpoint, candidate.MODEL)
    files.write_json(candidate.METRICS, metrics)
    files.write_text(outputs.HISTORY, "images,loss\n1,0.5\n")
    outputs.PICTURES.mkdir()
    profile.Profile(np.zeros(1, profile.ROW), ("dark",), ("L",), 8, 1, "d" * 64).write(Path("out/prepare"))
    run_id = tracking.complete(files.read_json(candidate.MODEL / "config.json")["digest"], metrics)
    number = registry.register(candidate.MODEL, "first", run_id, metrics)
    registry.annotate("first", number, {VERIFIED_TAG: json.dumps({"shape": [2, 8, 8, 1], "dtype": "uint8"})})

    @flow(name="whole", persist_result=False)
    def whole() -> Any:
        return promotion.promote(settings, [])

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(whole)
        paused("first", number, by=future)
        assert "champion" not in registry.status("first").aliases
        questions.answer("first", number, approve=True, why="good enough")
        report = future.result(PATIENCE)
    assert report.verdict.verdict == "first"
    assert report.verdict.reasons[-1].endswith(": good enough")
    assert report.registered.champion == number
