"""The patch of a dirty tree: whole, without touching the repository, and without a secret."""

import subprocess
from pathlib import Path

import pytest

from ddpm import tracking
from ddpm.common import files
from ddpm.provenance import patch
from tests.support.records import DIGEST


def git(*arguments: str, folder: Path | None = None) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(project: Path) -> Path:
    (project / "src").mkdir()
    for name, text in {"src/a.py": "a = 1\n", "gone.txt": "gone\n", ".gitignore": "/ignored/\n/.state/\n"}.items():
        (project / name).write_text(text)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    return project


def test_a_clean_tree_has_no_patch(repository: Path) -> None:
    (repository / "dvc.lock").write_text("a run writes it\n")
    assert tracking.changes() == tracking.Changes()
    assert tracking.lineage()["ddpm.patch"] == "none"


def test_the_patch_turns_the_commit_into_the_tree(repository: Path, tmp_path: Path) -> None:
    (repository / "src/a.py").write_text("a = 2\n")
    (repository / "src/new.py").write_text("b = 1\n")
    (repository / "picture.bin").write_bytes(bytes(range(256)) * 9)
    (repository / "gone.txt").unlink()
    (repository / "ignored").mkdir()
    (repository / "ignored" / "x").write_text("ignored")
    before = git("status", "--porcelain"), git("count-objects"), (repository / ".git/index").read_bytes()
    found = tracking.changes()
    assert (git("status", "--porcelain"), git("count-objects"), (repository / ".git/index").read_bytes()) == before
    copy = tmp_path / "copy"
    git("clone", "-q", str(repository), str(copy))
    (tmp_path / "patch").write_bytes(found.content)
    git("apply", str(tmp_path / "patch"), folder=copy)
    assert (copy / "src/a.py").read_text() == "a = 2\n"
    assert (copy / "src/new.py").read_text() == "b = 1\n"
    assert (copy / "picture.bin").read_bytes() == bytes(range(256)) * 9
    assert not (copy / "gone.txt").exists()
    assert not (copy / "ignored").exists()
    there, here = tracking.lineage(folder=copy), tracking.lineage()
    assert there["ddpm.code_hash"] == here["ddpm.code_hash"] != "none"
    assert here["ddpm.patch"] == files.sha256_bytes(found.content)


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        "deep/.env.local",
        "server.pem",
        "id_rsa",
        ".dvc/config.local",
        "ignored/x",
        ".git-credentials",
        "home/.aws/credentials",
        "docker/secrets/mlflow_password",
        "store.p12",
    ],
)
def test_files_that_hold_secrets_are_never_taken(repository: Path, name: str) -> None:
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("hunter2")
    assert b"hunter2" not in tracking.changes().content
    assert tracking.changes().content == b""


def test_credentials_in_addresses_and_tokens_are_taken_out(repository: Path) -> None:
    token = "ghp_" + "a1B2" * 9
    text = (
        f'url = "https://me:hunter2@example.org/data"\nx = y // z @ w\nf"https://{{user}}:{{word}}@host"\nt = {token}\n'
    )
    (repository / "new.py").write_text(text)
    found = tracking.changes()
    assert found.hidden == 2
    assert b"hunter2" not in found.content
    assert token.encode() not in found.content
    assert b'+url = "https://example.org/data"' in found.content
    assert b"+x = y // z @ w\n" in found.content
    assert b"{user}:{word}@host" in found.content


def test_a_password_with_an_at_sign_is_taken_out_whole(repository: Path) -> None:
    (repository / "data.dvc").write_text("deps:\n- path: https://me:hun@ter2@example.org/data\n")
    assert b"+- path: https://example.org/data\n" in tracking.changes().content


def test_secrets_in_dvcs_settings_are_taken_out_and_names_elsewhere_are_not(repository: Path) -> None:
    settings = "['remote \"s3\"']\n    url = s3://bucket\n    secret_access_key = hunter2\n    password= hunter2\n"
    (repository / ".dvc").mkdir(exist_ok=True)
    (repository / ".dvc/config").write_text(settings)
    (repository / "new.py").write_text("password = ask()\n")
    found = tracking.changes()
    assert found.hidden == 2
    assert b"hunter2" not in found.content
    assert b"+    url = s3://bucket\n" in found.content
    assert b"+    secret_access_key = REMOVED\n" in found.content
    assert b"+password = ask()\n" in found.content


def test_changes_that_are_too_large_are_said_in_words(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch, "LARGEST", 2**20)
    (repository / "large.bin").write_bytes(b"0" * (2**20 + 1))
    found = tracking.changes()
    assert found.content == b""
    assert "1.0 MiB" in found.refused
    assert found.tag.startswith("not kept: new files")
    (repository / "large.bin").unlink()
    (repository / "gone.txt").write_text("\n".join(map(str, range(300_000))))
    assert "changes since the last commit have" in tracking.changes().refused


def test_the_patch_is_kept_with_the_run(repository: Path) -> None:
    (repository / "src/a.py").write_text("a = 3\n")
    found = tracking.changes()
    with tracking.Tracker(DIGEST) as tracker:
        tracker.start({}, tracking.lineage(found), found.content)
        tracker.finish("FINISHED")
    run_id = tracking.replay(DIGEST)
    assert run_id is not None
    tag = tracking.client().get_run(run_id).data.tags["ddpm.patch"]
    kept = tracking.client().download_artifacts(run_id, f"lineage/{tag}.patch")
    assert Path(kept).read_bytes() == found.content


def test_a_training_recorded_elsewhere_keeps_where_it_came_from(repository: Path) -> None:
    with tracking.Tracker(DIGEST) as tracker:
        tracker.start({}, {"ddpm.git_sha": "theirs"})
        tracker.metrics(1, {"loss": 1.0})
        tracker.finish("FINISHED")
    run_id = tracking.replay(DIGEST)
    assert run_id is not None
    again = tracking.complete(DIGEST, {"fid": 3.0}, tags=tracking.lineage(), folder=Path(".state/another"))
    assert again == run_id
    tags = tracking.client().get_run(run_id).data.tags
    assert tags["ddpm.git_sha"] == "theirs"
    assert "ddpm.patch" not in tags, "of now, not of then"


def test_the_machine_says_what_decides_about_bits() -> None:
    found = tracking.machine("cpu")
    assert tuple(found) == tracking.MACHINE_TAGS
    assert found["ddpm.threads"] == "1"
    assert found["ddpm.device"] == "cpu"
    assert all(found.values())
