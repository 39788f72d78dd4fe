"""`make lint` beyond style: a secret in git is found, and an audit that was not done is reported as not done."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
pytest.importorskip("detect_secrets", reason="detect-secrets is not installed: make lint installs it")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_secret_in_git_is_found_until_it_is_accepted(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    def search(*words: str) -> tuple[int, str]:
        command = [sys.executable, ROOT / "scripts/find_secrets.py", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, done.stdout

    git("init", "-q")
    shutil.copy(ROOT / ".secrets.baseline", tmp_path)
    (tmp_path / "a.py").write_text("x = 1\n")
    git("add", "a.py")
    assert search()[0] == 0
    (tmp_path / "a.py").write_text('x = 1\nurl = "https://me:' + "hunter2" + '@example.org"\n')
    status, words = search()
    assert status == 1
    assert "secrets: a.py:2: Basic Auth Credentials" in words
    assert "hunter2" not in words
    assert search("--accept")[0] == 0
    (tmp_path / "a.py").write_text("\n\n" + (tmp_path / "a.py").read_text())  # a place that moves stays accepted
    assert search()[0] == 0


def test_an_audit_that_cannot_be_done_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = script("audit")
    monkeypatch.setattr(audit, "PROBE", "http://127.0.0.1:9/")
    monkeypatch.setattr(sys, "argv", ["audit.py", "requirements-dev.lock"])
    assert audit.main() == 0
    assert "audit: NOT DONE, PyPI's vulnerability database does not answer" in capsys.readouterr().out


def test_what_was_not_audited_is_named_and_a_vulnerability_fails(capsys: pytest.CaptureFixture[str]) -> None:
    report = script("audit").report
    known = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
    assert report([known, {"name": "b", "skip_reason": "not found"}], "x.lock") == 1
    said = capsys.readouterr().out
    assert "a 1 has CVE-1, fixed in 2" in said
    assert "1 packages of x.lock audited, 1 known" in said
    assert "NOT audited, unknown to the database: b" in said
    assert report([{"name": "a", "version": "1", "vulns": []}], "x.lock") == 0
