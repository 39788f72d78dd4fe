"""Flow runs named and tagged by their result, and the artifacts of a run, on a real Prefect server."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ddpm.evaluation.gate import Verdict
from flows.dvc import StageResult, StageRun
from flows.summary import PipelineResult, RegisteredVersion

KEPT = PipelineResult(
    [StageRun("train", StageResult.RAN, 3.0)],
    Verdict(promote=False, verdict="inconclusive", reasons=("FID may be lower",), rows=()),
    RegisteredVersion("digits", 12, True, ("candidate",), 9, "abc"),
    {"fid": 3.0, "conditions": {}},
)


def judged(promote: bool, verdict: Any, champion: int | None) -> PipelineResult:
    made = dataclasses.replace(KEPT.registered, version=3, champion=champion)
    return dataclasses.replace(KEPT, verdict=dataclasses.replace(KEPT.verdict, promote=promote, verdict=verdict),
                               registered=made)  # fmt: skip


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (KEPT, "run v12: champion kept, inconclusive"),
        (judged(True, "first", 3), "run v3: promoted, first"),
        (judged(False, "unchanged", 3), "run v3: champion already"),
        (judged(False, "outside limits", None), "run v3: no champion, outside limits"),
    ],
)
def test_a_title_says_what_the_run_did(result: PipelineResult, expected: str) -> None:
    from flows.tasks import title

    assert title.title("run", result) == expected


@pytest.mark.usefixtures("prefect", "project")
def test_a_run_is_named_tagged_and_shows_its_samples_first() -> None:
    from prefect import flow, tags
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.runtime import flow_run

    from flows.tasks import artifacts, title

    artifacts.PICTURE.parent.mkdir(parents=True)
    Image.new("L", (4, 4)).save(artifacts.PICTURE)
    runs = []

    @flow(name="retrain", flow_run_name="retrain", persist_result=False)
    def retrain(renamed: str = "") -> None:
        runs.append(flow_run.id)
        with get_client(sync_client=True) as connection:
            if renamed:
                connection.update_flow_run(runs[-1], name=renamed)
        title.set_result(KEPT)
        artifacts.publish(KEPT)

    with tags("mine"):
        retrain()
    retrain(renamed="the night run")
    with get_client(sync_client=True) as connection:
        first, second = (connection.read_flow_run(each) for each in runs)
        by_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[first.id]))
        found = {each.key: each for each in connection.read_artifacts(artifact_filter=by_run)}
    assert first.name == "retrain v12: champion kept, inconclusive"
    assert set(first.tags) == {"mine", "digits", "v12", "inconclusive"}
    assert second.name == "the night run"
    assert set(found) == {"digits-scores", "digits-samples"}
    page = found["digits-scores"]
    assert page.data.startswith("![samples](data:image/png;base64,")
    assert "**digits version 12** not promoted" in page.data
    assert page.description.startswith("digits version 12: not promoted")


def test_outside_of_a_run_nothing_is_named() -> None:
    from flows.tasks import title

    title.set_result(KEPT)
    title.set_skipped("nothing changed")


def test_a_large_picture_is_left_to_its_own_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.tasks import artifacts

    monkeypatch.chdir(tmp_path)
    artifacts.PICTURE.parent.mkdir(parents=True)
    Image.new("L", (4, 4)).save(artifacts.PICTURE)
    assert artifacts.page(KEPT).startswith("![samples]")
    monkeypatch.setattr(artifacts, "LARGEST_PICTURE", 10)
    assert artifacts.page(KEPT).startswith("**digits version 12**")
