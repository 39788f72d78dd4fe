"""The commit of a retraining: made once per content, without touching the checkout, and pushed without force."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddpm.common import files
from ddpm.provenance import git as git_process
from flows.tasks import commit, model_tag
from tests.support.repositories import sh

Make = Callable[..., Path]


@pytest.fixture
def repository(make_repository: Make) -> Path:
    """A repository on main with a new dvc.lock, a changed data.dvc, and a user's unfinished work."""
    folder = make_repository()
    (folder / "params.yaml").write_text("a: 1\n")
    sh(folder, "git", "checkout", "-q", "-b", "main")
    sh(folder, "git", "add", ".")
    sh(folder, "git", "commit", "-qm", "the project")
    (folder / "dvc.lock").write_text("schema: '2.0'\n")
    with (folder / "data.dvc").open("a") as file:
        file.write("meta: {version: 2}\n")
    (folder / "shout.py").write_text("half done")
    (folder / "staged.py").write_text("staged")
    sh(folder, "git", "add", "staged.py")
    return folder


@pytest.fixture
def bare(repository: Path, tmp_path: Path) -> Path:
    """A bare remote of it that has main."""
    sh(tmp_path, "git", "init", "-q", "--bare", "bare.git")
    sh(repository, "git", "remote", "add", "origin", str(tmp_path / "bare.git"))
    sh(repository, "git", "push", "-q", "origin", "main")
    return tmp_path / "bare.git"


def committed() -> tuple[str, bool]:
    return commit.commit("retrain", commit._message("digits", 3, "run1"))


def git(folder: Path, *arguments: str) -> str:
    return sh(folder, "git", *arguments).strip()


def parents(folder: Path, sha: str) -> list[str]:
    return git(folder, "show", "-s", "--format=%P", sha).split()


def everything(folder: Path) -> tuple[str, ...]:
    """The state that a commit must not change."""
    told = git(folder, "status", "--porcelain", "--branch"), git(folder, "diff"), git(folder, "rev-parse", "HEAD")
    return files.sha256_file(folder / ".git" / "index"), *told, (folder / ".git" / "HEAD").read_text()


def test_a_commit_leaves_index_files_and_head_untouched(repository: Path) -> None:
    before, index = everything(repository), (repository / ".git" / "index").read_bytes()
    sha, new = committed()
    assert new
    assert (repository / ".git" / "index").read_bytes() == index
    assert everything(repository)[1:] == before[1:]
    assert git(repository, "rev-parse", "retrain") == sha
    assert git(repository, "diff", "--name-only", "main", "retrain").split() == ["data.dvc", "dvc.lock"]
    assert git(repository, "show", "retrain:data.dvc") == (repository / "data.dvc").read_text().strip()
    message = git(repository, "show", "-s", "--format=%B", sha)
    for words in ("digits version 3", "run1", "Other files differ"):
        assert words in message


def test_equal_content_makes_no_second_commit_and_each_change_makes_one(repository: Path) -> None:
    head, (first, _) = git(repository, "rev-parse", "HEAD"), committed()
    assert parents(repository, first) == [head]
    assert committed() == (first, False)
    (repository / "params.yaml").write_text("a: 2\n")
    second, new = committed()
    assert new
    assert parents(repository, second) == [first]
    sh(repository, "git", "commit", "-qm", "a person goes on")  # what was staged
    third, _ = committed()
    assert parents(repository, third) == [second, git(repository, "rev-parse", "HEAD")]
    assert committed() == (third, False)


def test_content_that_head_has_needs_no_commit(repository: Path) -> None:
    sh(repository, "git", "add", "data.dvc", "dvc.lock")
    sh(repository, "git", "commit", "-qm", "by hand")
    assert committed() == (git(repository, "rev-parse", "HEAD"), False)
    assert git(repository, "rev-parse", "retrain") == git(repository, "rev-parse", "HEAD")


def test_a_branch_that_is_checked_out_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(commit.BranchError, match="main is checked out"):
        commit.require_committable("main")
    committed()
    sh(repository, "git", "worktree", "add", "-q", str(tmp_path / "tree"), "retrain")
    with pytest.raises(commit.BranchError, match="retrain is checked out"):
        committed()
    with pytest.raises(commit.BranchError, match=r"'a\.\.b' is not a valid branch name"):
        commit.require_committable("a..b")


def test_a_branch_that_moved_meanwhile_stays(repository: Path) -> None:
    """Compare-and-set: the branch has another tip than the one that was read."""
    first, _ = committed()
    head, tree = git(repository, "rev-parse", "HEAD"), git(repository, "rev-parse", f"{first}^{{tree}}")
    with pytest.raises(git_process.GitError, match="update-ref"):
        commit._advance("retrain", head, tree, [head], "late")
    assert git(repository, "rev-parse", "retrain") == first


def test_credentials_never_get_into_a_commit(repository: Path) -> None:
    (repository / "data.dvc").write_text("deps:\n- path: https://me:hunter2@example.org/set.zip\n")
    with pytest.raises(commit.BranchError, match="credentials") as error:
        committed()
    assert "hunter2" not in str(error.value)


def test_a_machine_without_a_name_commits_too(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    sh(repository, "git", "config", "user.useConfigOnly", "true")
    sha, _ = committed()
    assert git(repository, "show", "-s", "--format=%an", sha) == "retrain"


def test_a_push_goes_to_both_remotes_and_stays_pending_until_it_succeeds(repository: Path, bare: Path) -> None:
    sha, _ = committed()
    files.write_json(commit.PENDING_PUSH, {"branch": "retrain"})
    hidden = bare.rename(bare.with_name("away.git"))
    told = commit.push(lambda line: None)
    assert "retrain: not pushed to origin" in told
    assert "data: in DVC's remote store" in told
    assert commit.is_push_pending()
    hidden.rename(bare)
    other = bare.parent / "other"
    sh(bare.parent, "git", "clone", "-q", "-b", "main", str(bare), str(other))
    sh(other, "git", "commit", "-q", "--allow-empty", "-m", "from another machine")
    sh(other, "git", "push", "-q", "origin", "HEAD:refs/heads/retrain")
    there = git(other, "rev-parse", "HEAD")
    assert "retrain: pushed to origin" in commit.push(lambda line: None)
    assert not commit.is_push_pending()
    tip = git(bare, "rev-parse", "retrain")
    assert parents(bare, tip) == [sha, there]
    assert git(bare, "diff", sha, tip) == ""
    assert git(repository, "rev-parse", "HEAD") == git(bare, "rev-parse", "main")


def test_a_fresh_clone_continues_the_branch_of_the_remote(
    repository: Path, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = committed()
    sh(repository, "git", "push", "-q", "origin", "retrain")
    sh(tmp_path, "git", "clone", "-q", "-b", "main", str(bare), "fresh")
    monkeypatch.chdir(tmp_path / "fresh")
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    second, new = committed()
    assert new
    assert parents(tmp_path / "fresh", second) == [first]


def test_nothing_is_pushed_into_the_store_in_git(repository: Path) -> None:
    sh(repository, "dvc", "remote", "add", "-q", "--default", "embedded", str(repository / commit.EMBEDDED_STORE))
    assert "store of the embedded sets" in commit._push_data(lambda line: None)[1]
    assert not (repository / commit.EMBEDDED_STORE).exists()
    sh(repository, "dvc", "remote", "default", "--unset")
    assert commit._push_data(lambda line: None) == (
        True,
        "data: local only, because DVC has no default remote (`dvc remote add --local --default NAME URL`)",
    )


def test_a_folder_without_git_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert subprocess.run(["git", "rev-parse"], capture_output=True, check=False, env=os.environ).returncode
    commit.require_committable("retrain")


def test_uncommitted_files_are_listed_and_none_without_git(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commit.uncommitted() == ("data.dvc", "dvc.lock")
    sh(repository, "git", "add", "data.dvc", "dvc.lock")
    assert commit.uncommitted() == ("data.dvc", "dvc.lock"), "the index is not enough: diffs are with the commit"
    sh(repository, "git", "commit", "-qm", "results")
    assert commit.uncommitted() == ()
    (tmp_path / "nowhere").mkdir()
    monkeypatch.chdir(tmp_path / "nowhere")
    assert commit.uncommitted() == ()


def test_the_champion_is_tagged_once_and_its_tag_is_pushed(
    repository: Path, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha, _ = committed()
    versions = {3: {model_tag.COMMIT_TAG: sha}, 4: {}, 5: {model_tag.COMMIT_TAG: "0" * 40}}
    monkeypatch.setattr("ddpm.registry.version", lambda name, number: SimpleNamespace(tags=versions[number]))
    states = [model_tag.tag_champion.fn("digits", number).name for number in (3, 3, 4, 5)]
    assert states == ["Completed", "Cached", "Skipped", "Skipped"]
    assert git(repository, "for-each-ref", "--format=%(refname) %(objecttype)", "refs/tags") == (
        "refs/tags/model@v3.0.0 tag"
    )
    assert git(repository, "rev-parse", "model@v3.0.0^{commit}") == sha
    files.write_json(commit.PENDING_PUSH, {"branch": "retrain"})
    assert "retrain: pushed to origin with its tags" in commit.push(lambda line: None)
    assert git(bare, "rev-parse", "model@v3.0.0^{commit}") == sha
