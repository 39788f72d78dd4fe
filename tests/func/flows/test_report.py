"""The facts that the flow gives to the page: verdict, times, and the cost of cached stages when they ran."""

from pathlib import Path

import pytest

from ddpm.common import files
from ddpm.evaluation import gate
from ddpm.report import facts, page
from flows.dvc import StageResult, StageRun
from flows.summary import PipelineResult, RegisteredVersion
from flows.tasks import report

SCORES = {"fid": 3.0, "conditions": {}}


def stages(did: StageResult, seconds: float = 300.0) -> list[StageRun]:
    return [StageRun("data.dvc", StageResult.CACHED, 0.4), StageRun("train", did, seconds, cpu_seconds=2 * seconds)]


def gathered(outcomes: list[StageRun]) -> facts.Facts:
    made = RegisteredVersion("digits", 3, True, ("candidate", "champion"), 3, "abc")
    verdict = gate.decide(SCORES, None, max_fid=10.0)
    return report.collect(PipelineResult(outcomes, verdict, made, SCORES, 310.0), {"ddpm.git_sha": "5e"})


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_json(page.METRICS, SCORES)
    lock("one")


def lock(content: str) -> None:
    report.LOCK.write_text(f"schema: '2.0'\nstages:\n  train:\n    outs: [{content}]\n")


def test_facts_name_the_judged_scores_and_survive_a_round_trip() -> None:
    found = gathered(stages(StageResult.RAN))
    facts.write(found)
    known = facts.read()
    assert known is not None
    assert known.scores_sha256 == files.sha256_file(page.METRICS)
    assert (known.heading, known.tone, known.registered["version"]) == ("promoted: the first champion", "good", 3)
    assert known.verdict["reasons"]
    assert known.champion is None


def test_a_cached_stage_keeps_the_times_of_the_run_that_made_its_files() -> None:
    facts.write(gathered(stages(StageResult.RAN)))
    facts.write(gathered(stages(StageResult.CACHED, 0.5)))
    data, train = gathered(stages(StageResult.CACHED, 0.5)).stages
    assert train["made"] == {"seconds": 300.0, "cpu_seconds": 600.0, "gpu_seconds": 0.0}
    assert train["seconds"] == 0.5
    assert data["made"] is None


def test_files_made_elsewhere_have_no_times() -> None:
    facts.write(gathered(stages(StageResult.RAN)))
    lock("another")
    assert gathered(stages(StageResult.CACHED, 0.5)).stages[1]["made"] is None
    files.write_json(facts.FACTS, {"of": "another version"})
    assert gathered(stages(StageResult.CACHED, 0.5)).stages[1]["made"] is None
