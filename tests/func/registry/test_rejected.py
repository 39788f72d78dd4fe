"""Rejected candidates are deleted by age with runs, pictures and patches; nothing that others need is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from ddpm import registry, tracking
from ddpm.common import files
from ddpm.registry import lineage
from ddpm.registry.versions import FAILED_TAG, VERIFIED_TAG
from ddpm.tracking import SPOOLS, Spool, store
from tests.func.registry.conftest import EVIDENCE, NAME, Killed, die_at
from tests.support import records, tiny

PATCH = b"--- a\n+++ b\n"
Candidate = Callable[..., int]


def digest_of(letter: str) -> str:
    return letter * 64


@pytest.fixture
def candidate(project: Path) -> Candidate:
    """Registers a judged candidate with a training, a picture and a patch of its own."""

    def make(letter: str, verdict: str = "worse", *, register: bool = True) -> int:
        digest = digest_of(letter)
        picture = project / "out/evaluate/pictures" / f"{letter}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(b"a picture" * 100)
        tags = {"ddpm.git_dirty": "true", "ddpm.git_sha": "abc", "ddpm.patch": files.sha256_bytes(PATCH)}
        run_id = tracking.complete(digest, {"fid": 30.0}, [picture], tags, patch=PATCH)
        if not register:
            return 0
        folder = project / "checkpoints" / letter
        tiny.random_checkpoint(folder, {**tiny.CONFIG, "digest": digest})
        number = registry.register(folder, NAME, run_id, EVIDENCE)
        registry.annotate(NAME, number, {VERIFIED_TAG: json.dumps({"shape": [2, 8, 8, 1]})})
        registry.save_evidence(NAME, number, {"verdict": {"verdict": verdict, "reasons": ["measured"]}})
        return number

    return make


def run_of(number: int) -> str:
    return registry.version(NAME, number).run_id


def active_runs() -> set[str]:
    connection = tracking.client()
    return {each.info.run_id for each in connection.search_runs([store.experiment(connection, "ddpm")])}


def artifacts(run_id: str) -> Path:
    return store.artifact_root() / "ddpm" / run_id / "artifacts"


def test_a_rejected_candidate_goes_with_run_pictures_patch_and_spool(candidate: Candidate) -> None:
    candidate("a"), candidate("b"), candidate("c")
    registry.promote(NAME, 1, why="first", expected_champion=None)
    rejected_run, spool = run_of(2), SPOOLS / digest_of("b")
    assert (artifacts(rejected_run) / "lineage" / f"{files.sha256_bytes(PATCH)}.patch").is_file()
    assert (artifacts(rejected_run) / "evaluate/pictures/b.png").is_file()
    listed = registry.list_rejected(NAME, 0)
    assert [each.versions for each in listed] == [(2,)], "1 is champion, 3 is candidate"
    on_disk = [each for folder in (artifacts(rejected_run), spool) for each in folder.rglob("*") if each.is_file()]
    assert listed[0].size == sum(each.stat().st_size for each in on_disk) > 100_000
    assert rejected_run in active_runs(), "listing deletes nothing"
    assert spool.exists()
    assert registry.prune_rejected(NAME, 0) == listed
    assert [each.number for each in registry.status(NAME).versions] == [3, 1]
    assert active_runs() == {run_of(1), run_of(3)}
    assert not artifacts(rejected_run).exists()
    assert not spool.exists()
    assert registry.prune_rejected(NAME, 0) == []
    assert tracking.close_abandoned() == []
    assert active_runs() == {run_of(1), run_of(3)}, "nothing is sent again"
    for number in (1, 3):
        assert registry.download(f"models:/{NAME}/{number}").is_dir()
        assert lineage.patch_of(lineage.trace(f"models:/{NAME}/{number}")) == PATCH


def test_what_an_alias_or_the_audit_trail_names_stays(candidate: Candidate) -> None:
    for letter in "abcdef":
        candidate(letter)
    registry.promote(NAME, 1, why="first", expected_champion=None)
    registry.promote(NAME, 2, why="by hand", expected_champion=1)
    registry.promote(NAME, 3, why="by hand", expected_champion=2)
    registry.rollback(NAME, why="worse after all")
    tracking.client().set_registered_model_alias(NAME, "for-the-paper", "4")
    assert [each.versions for each in registry.list_rejected(NAME, 0)] == [(5,)]


def test_only_rejected_candidates_of_that_age_are_due(candidate: Candidate) -> None:
    candidate("a"), candidate("b", "better"), candidate("c"), candidate("d"), candidate("e")
    tracking.client().delete_model_version_tag(NAME, "3", "ddpm.verdict")
    tracking.client().delete_model_version_tag(NAME, "4", "ddpm.verdict")
    registry.annotate(NAME, 4, {FAILED_TAG: "does not load"})
    assert registry.list_rejected(NAME, 1) == []
    due = [each.versions for each in registry.list_rejected(NAME, 0)]
    assert due == [(1,), (4,)], "2 may yet be promoted, 3 is not judged, 5 is candidate"
    with pytest.raises(ValueError, match="give 0 or more"):
        registry.list_rejected(NAME, -1)


def test_an_open_question_keeps_its_version(candidate: Candidate) -> None:
    from ddpm.registry import approval

    candidate("a", "waiting"), candidate("b")
    approval.ask(NAME, 1, None, 1.0, "a run")
    assert registry.list_rejected(NAME, 0) == []
    approval.answer(NAME, 1, approve=False, why="broken eights")
    assert [each.versions for each in registry.list_rejected(NAME, 0)] == [(1,)]


def test_a_run_with_a_kept_version_stays_whole(candidate: Candidate, project: Path) -> None:
    """Of this or another model, with or without the id of the run."""
    candidate("a"), candidate("b"), candidate("c"), candidate("d")
    connection = tracking.client()
    other = {**EVIDENCE, "conditions": {**EVIDENCE["conditions"], "steps": 8}}  # type: ignore[dict-item]
    registry.register(project / "checkpoints/a", NAME, run_of(1), other)  # a version that is not judged
    connection.create_registered_model("other")
    connection.create_model_version("other", registry.version(NAME, 2).source)
    assert [each.versions for each in registry.list_rejected(NAME, 0)] == [(3,), (4,)]


def test_a_training_in_progress_keeps_its_run(candidate: Candidate) -> None:
    candidate("a"), candidate("b")
    with Spool(SPOOLS / digest_of("a")).writing():
        assert registry.prune_rejected(NAME, 0) == []
    assert run_of(1) in active_runs()
    tracking.client().update_run(run_of(1), status="RUNNING")  # on another machine
    assert registry.prune_rejected(NAME, 0) == []


@pytest.mark.parametrize(
    ("where", "call"), [("set_tag", 1), ("delete_model_version_tag", 1), ("delete_model_version", 1), ("delete_run", 1)]
)
def test_killed_at_any_point_the_next_call_finishes(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch, where: str, call: int
) -> None:
    candidate("a"), candidate("b")
    killed = run_of(1)
    die_at(monkeypatch, where, call, lambda: registry.prune_rejected(NAME, 0))
    assert [each.run_id for each in registry.list_rejected(NAME, 0)] == [killed]
    assert [each.run_id for each in registry.prune_rejected(NAME, 0)] == [killed]
    assert active_runs() == {run_of(2)}
    assert not artifacts(killed).exists()
    assert registry.prune_rejected(NAME, 0) == []


def test_killed_before_its_files_are_gone_the_next_call_deletes_them(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate("a"), candidate("b")
    killed = run_of(1)

    original = MlflowClient.delete_run

    def dies(self: MlflowClient, run_id: str) -> None:
        original(self, run_id)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "delete_run", dies)
        with pytest.raises(Killed):
            registry.prune_rejected(NAME, 0)
    assert killed not in active_runs()
    assert artifacts(killed).exists()
    assert [each.run_id for each in registry.prune_rejected(NAME, 0)] == [killed]
    assert not artifacts(killed).exists()


def test_runs_that_others_deleted_are_left_to_them(candidate: Candidate) -> None:
    candidate("a"), candidate("b")
    connection, other = tracking.client(), run_of(1)
    connection.delete_run(other)
    assert registry.prune_rejected(NAME, 0) == []
    assert artifacts(other).exists()
    connection.restore_run(other)
    assert [each.run_id for each in registry.list_rejected(NAME, 0)] == [other]


def test_a_version_that_becomes_champion_meanwhile_stays_with_its_run(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another machine, which does not share the lock."""
    candidate("a"), candidate("b")
    original = MlflowClient.set_tag

    def overtaken(self: MlflowClient, *arguments: object) -> None:
        original(self, *arguments)
        self.set_registered_model_alias(NAME, "champion", "1")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_tag", overtaken)
        assert registry.prune_rejected(NAME, 0) == []
    assert registry.download(f"models:/{NAME}/1").is_dir()
    assert run_of(1) in active_runs()
    assert registry.list_rejected(NAME, 0) == []


def test_a_repeated_training_gets_a_new_run_and_version(candidate: Candidate, project: Path) -> None:
    candidate("a"), candidate("b")
    before = run_of(1)
    registry.prune_rejected(NAME, 0)
    shutil.rmtree(project / "checkpoints/a")
    assert candidate("a") == 3
    assert run_of(3) != before


@pytest.mark.timeout(300)
def test_a_shared_server_keeps_files_of_runs_for_its_own_gc(
    project: Path, empty_database: Path, candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with records.server(project / "server", empty_database, records.free_port()) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        candidate("a"), candidate("b")
        before, size = run_of(1), registry.list_rejected(NAME, 0)[0].size
        assert size > 100_000
        assert [each.run_id for each in registry.prune_rejected(NAME, 0)] == [before]
        assert active_runs() == {run_of(2)}
        assert registry.prune_rejected(NAME, 0) == []
        found = tracking.client().search_runs([store.experiment(tracking.client(), "ddpm")], "", ViewType.DELETED_ONLY)
        assert [each.info.run_id for each in found] == [before]
        assert tracking.client().list_artifacts(before, "evaluate/pictures")
        assert not tracking.client().list_artifacts(before, "models")
