"""Lineage, read from real repositories."""

import subprocess
from pathlib import Path

import pytest

from ddpm import tracking
from ddpm.common import files
from ddpm.provenance.git import trouble


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("a: 1\n")
    (tmp_path / "requirements.lock").write_text("torch==1\n")
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 0123abcd.dir\n  path: data\n")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    (tmp_path / ".gitignore").write_text("/out/\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path


def test_a_clean_checkout(repository: Path) -> None:
    found = tracking.lineage()
    assert found == {
        "mlflow.source.git.commit": git("rev-parse", "HEAD"),
        "ddpm.git_sha": git("rev-parse", "HEAD"),
        "ddpm.git_dirty": "false",
        "ddpm.patch": "none",
        "ddpm.code_hash": "none",
        "ddpm.data_hash": "0123abcd.dir",
        "ddpm.params_hash": files.sha256_file(repository / "params.yaml"),
        "ddpm.lock_hash": files.sha256_file(repository / "requirements.lock"),
    }
    assert {*found, "ddpm.no_commit"} == set(tracking.LINEAGE_TAGS)


@pytest.mark.parametrize(
    ("name", "dirty"),
    [("params.yaml", "true"), ("new.py", "true"), ("dvc.lock", "false"), ("out/x", "false")],
)
def test_what_makes_a_checkout_dirty(repository: Path, name: str, dirty: str) -> None:
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("changed\n")
    assert tracking.lineage()["ddpm.git_dirty"] == dirty


def test_a_folder_without_git_data_or_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = tracking.lineage()
    assert "is not a git repository" in found.pop("ddpm.no_commit")
    assert set(found.values()) == {"none"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PATH", "/nowhere", "git is not installed"),
        ("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1", "safe.directory"),
        ("GIT_DIR", "/nowhere", "not a git repository"),
    ],
)
def test_why_a_model_has_no_commit_is_on_its_record(
    repository: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    assert trouble() == ""
    monkeypatch.setenv(name, value)
    found = tracking.lineage()
    assert words in found["ddpm.no_commit"]
    assert found["ddpm.git_sha"] == "none"
    assert found["ddpm.params_hash"] == files.sha256_file(repository / "params.yaml")


def test_a_repository_without_a_commit_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    assert "no commit yet" in tracking.lineage()["ddpm.no_commit"]
