"""git as a child process: what it is asked, and how it refuses."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm.provenance import git
from flows import processes
from tests.support.waiting import wait_until


def test_no_git_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.text("status") is None
    assert "not installed" in git.trouble()


def test_a_refusal_has_git_s_words_without_credentials(tmp_path: Path) -> None:
    address = "https://me:hunter2@127.0.0.1:9/repository"
    with pytest.raises(git.GitError, match="`git ls-remote` failed") as error:
        git.require("ls-remote", address, folder=tmp_path)
    assert "unable to access" in str(error.value)
    assert "hunter2" not in str(error.value)
    said = git.failure("ls-remote", address, folder=tmp_path)
    assert "unable to access" in said
    assert "hunter2" not in said
    assert git.failure("--version") == ""


@pytest.mark.parametrize("prompts", [True, False])
def test_what_a_command_of_git_sees(prompts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_TERMINAL_PROMPT", raising=False)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    program = "import os; print(*(os.environ.get(x) for x in ('LC_ALL', 'GIT_OPTIONAL_LOCKS', 'GIT_TERMINAL_PROMPT')))"
    told = git.environment(prompts=prompts)
    ended = processes.run([sys.executable, "-c", program], lambda line: None, environment=told)
    assert ended.lines == (f"C 0 {None if prompts else 0}",)


SLOW_GIT = """\
#!/bin/sh
touch started
sleep 1
echo an answer
"""
ASKING = """\
import signal
from ddpm.provenance import git
signal.signal(signal.SIGINT, lambda *_: None)
print(git.text("status"))
"""


def test_ctrl_c_does_not_end_a_command_of_git_under_way(tmp_path: Path) -> None:
    """The terminal sends it to the whole process group."""
    (tmp_path / "git").write_text(SLOW_GIT)
    (tmp_path / "git").chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", ASKING],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until((tmp_path / "started").exists)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "an answer\n"
