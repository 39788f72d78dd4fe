"""Data that came through `dvc update`: the model is rebuilt from the branch's commit and the remotes alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ddpm import registry
from ddpm.cli import app
from flows.tasks import commit, data_update
from tests.func.reproduce.conftest import NAME
from tests.support.repositories import sh


@pytest.mark.slow
def test_a_model_of_updated_data_is_rebuilt_from_what_was_pushed(
    checkout: Path, trained: Callable[..., str], tmp_path: Path
) -> None:
    outside, bare, clone = tmp_path / "outside", tmp_path / "bare.git", tmp_path / "clone"
    shutil.copytree(checkout / "data", outside)
    sh(checkout, "rm", "-rf", "data")
    sh(checkout, "dvc", "import-url", "--force", str(outside), "data")
    sh(checkout, "dvc", "remote", "add", "-q", "--default", "mine", str(tmp_path / "mine"))
    sh(checkout, "git", "checkout", "-q", "-b", "main")
    sh(checkout, "git", "commit", "-qam", "imported")
    sh(tmp_path, "git", "init", "-q", "--bare", str(bare))
    sh(checkout, "git", "remote", "add", "origin", str(bare))

    (outside / "a.txt").write_text("aaaaaaaa")
    data_update.refresh(lambda line: None, 300.0)
    run_id = trained(register=True)
    sha, new = commit.commit("retrain", commit._message(NAME, 1, run_id))
    assert new
    commit._store_sha(NAME, 1, sha)
    commit._store_sha(NAME, 1, "0" * 40)  # the first stays
    assert registry.version(NAME, 1).tags[commit.COMMIT_TAG] == sha
    commit.PENDING_PUSH.write_text('{"branch": "retrain"}')
    assert not commit.push(lambda line: None).count("not")

    told = CliRunner().invoke(app, ["lineage", "1", "--name", NAME])
    assert f"kept as commit     {sha}" in told.stdout, told.output
    sh(checkout, "rm", "-rf", "data", ".dvc/cache", str(outside))
    sh(tmp_path, "git", "clone", "-q", "-b", "retrain", str(bare), str(clone))
    assert sh(clone, "git", "rev-parse", "HEAD").strip() == sha
    sh(clone, "dvc", "pull", "-q", "data.dvc")
    assert (clone / "data" / "a.txt").read_text() == "aaaaaaaa"
    rebuild = ["reproduce", f"models:/{NAME}@candidate", "--here", "--repository", str(clone)]
    result = CliRunner().invoke(app, rebuild)
    assert result.exit_code == 0, result.output
    assert "identical: the rebuilt weights are those recorded, to the bit" in result.stdout
