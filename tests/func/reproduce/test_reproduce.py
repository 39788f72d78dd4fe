"""A recorded model is built again from real repositories: bit-identical, with its changes, or refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ddpm import tracking
from ddpm.cli import app
from ddpm.common import files
from tests.func.reproduce.conftest import MACHINE, NAME
from tests.support.repositories import sh

Train = Callable[..., str]


def ddpm(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["reproduce", *arguments, "--here"])


def refused(*arguments: str) -> str:
    """The message of a rebuild that must be refused before any work."""
    result = ddpm(*arguments)
    assert result.exit_code == 1, result.output
    assert "error: " in result.stderr, result.output
    assert "Traceback" not in result.output
    assert "dvc repro" not in result.stdout
    return result.stderr


def note(run_id: str, **tags: str) -> None:
    for key, value in tags.items():
        tracking.client().set_tag(run_id, f"ddpm.{key}", value)


@pytest.mark.slow
def test_a_clean_commit_gives_the_same_bits_after_everything_has_moved_on(checkout: Path, trained: Train) -> None:
    run_id = trained()
    (checkout / "src/train.py").write_text("raise SystemExit('another program')")
    (checkout / "params.yaml").write_text("seed: 4\n")
    sh(checkout, "git", "commit", "-qam", "moved on")
    shutil.rmtree(checkout / "data")
    result = ddpm(run_id, "--into", "again")
    assert result.exit_code == 0, result.output
    assert "identical: the rebuilt weights equal the recorded ones bit for bit" in result.stdout
    assert "although" not in result.stdout
    assert files.read_json(Path("again/.state/reproduced.json"))["identical"] is True
    assert f"{run_id} is" not in result.stderr
    assert tracking.client().get_run(run_id).data.tags["ddpm.threads"] == MACHINE["ddpm.threads"]


@pytest.mark.slow
def test_a_dirty_tree_is_rebuilt_from_its_patch(checkout: Path, trained: Train) -> None:
    (checkout / "params.yaml").write_text("seed: 5\n")
    (checkout / "src/train.py").write_text((checkout / "src/train.py").read_text() + "import helper\n")
    (checkout / "src/helper.py").write_text("print('helped')\n")
    (checkout / ".env").write_text("PASSWORD=hunter2")
    trained(register=True)
    sh(checkout, "git", "checkout", "-q", ".")
    (checkout / "src/helper.py").unlink()
    result = ddpm("1", "--name", NAME)
    assert result.exit_code == 0, result.output
    assert "bytes of uncommitted changes: applied" in result.stdout
    assert "helped" in result.stdout
    assert "identical" in result.stdout
    kept = Path(f".state/reproduce/{NAME}-1")
    assert (kept / "params.yaml").read_text() == "seed: 5\n"
    assert not (kept / ".env").exists()
    assert "is not empty" in refused("1", "--name", NAME)


@pytest.mark.slow
def test_elsewhere_it_says_by_how_much_and_that_the_scores_agree(
    trained: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FID 30 with a deviation of 2 on either side: 3 apart is within."""
    run_id = trained(register=True)
    note(run_id, cpu="x86_64 Another")
    monkeypatch.setenv("TEST_NOISE", "0.25")
    monkeypatch.setenv("TEST_SCORE", "3")
    result = ddpm(run_id, "--into", "again")
    assert result.exit_code == 0, result.output
    assert "Identical bits cannot be expected: cpu x86_64 Another then, x86_64 Test now." in result.stdout
    assert "Largest difference of a weight: 0.25" in result.stdout
    assert result.stdout.index("  kernel ") < result.stdout.index("  bias ")
    assert "The scores that have a spread agree within it" in result.stdout


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("code_hash", "the code (src and dvc.yaml): recorded 0000"),
        ("data_hash", "data.dvc: recorded 0000"),
        ("params_hash", "params.yaml: recorded 0000"),
        ("lock_hash", "requirements.lock: recorded 0000"),
    ],
)
def test_a_hash_that_was_tampered_with_is_refused(trained: Train, tag: str, words: str) -> None:
    run_id = trained()
    note(run_id, **{tag: "0" * 64})
    said = refused(run_id, "--into", "again")
    assert words in said
    assert said.count("recorded 0000") == 1


def test_a_version_and_a_run_that_disagree_are_both_refused(trained: Train) -> None:
    run_id = trained(register=True)
    note(run_id, weights="0" * 64)
    assert "the version and its run disagree about ddpm.weights" in refused(f"models:/{NAME}/1", "--into", "again")


def test_a_commit_that_is_not_there_is_said(trained: Train) -> None:
    run_id = trained()
    note(run_id, git_sha="1" * 40)
    assert f"commit {'1' * 40} is not in" in refused(run_id, "--into", "again")
    assert "neither a model nor a run at" in refused("0" * 32, "--into", "once-more")


def test_a_changed_or_missing_patch_is_refused(checkout: Path, trained: Train) -> None:
    (checkout / "params.yaml").write_text("seed: 5\n")
    run_id = trained()
    (patch,) = (checkout / ".state/mlflow").rglob("*.patch")
    patch.write_bytes(patch.read_bytes().replace(b"seed: 5", b"seed: 6"))
    assert "does not have its recorded SHA-256" in refused(run_id, "--into", "again")
    patch.unlink()
    assert "is missing from its artifacts" in refused(run_id, "--into", "again")
    note(run_id, patch="not kept: the changes have 11.0 MiB, more than 10.0 MiB")
    assert "not kept: the changes have 11.0 MiB, more than 10.0 MiB. It cannot be rebuilt" in refused(run_id)


def test_missing_and_damaged_data_are_said(checkout: Path, trained: Train) -> None:
    run_id = trained()
    objects = [path for path in (checkout / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    damaged = next(path for path in objects if path.read_bytes() == b"aaaa")
    damaged.chmod(0o644)
    damaged.write_bytes(b"bbbb")
    assert "the fetched data differ from the record" in refused(run_id, "--into", "again")
    damaged.unlink()
    said = refused(run_id, "--into", "once-more")
    assert "are neither in a remote nor in this machine's cache. `dvc push` them" in said


def test_lineage_prints_the_chain(checkout: Path, trained: Train) -> None:

    run_id = trained(register=True)
    text = CliRunner().invoke(app, ["lineage", "1", "--name", NAME]).stdout
    titles = ["version", "MLflow run", "commit", "changes since", "data", "params.yaml", "requirements.lock", "weights"]
    places = [text.index(f"\n{title}" if title != "version" else title) for title in titles]
    assert places == sorted(places)
    assert f"models:/{NAME}/1 @candidate" in text
    assert "FID (" in text
    assert ") 30" in text
    found = json.loads(CliRunner().invoke(app, ["lineage", run_id, "--json"]).stdout)
    assert found["run"] == run_id
    assert found["commit"] == sh(checkout, "git", "rev-parse", "HEAD").strip()
    assert found["weights"] == files.sha256_file(checkout / "out/train/model/weights.safetensors")
    assert found["params"] == files.sha256_file(checkout / "params.yaml")
    assert found["machine"]["threads"] == "1"
    assert found["scores"]["fid"] == 30.0
