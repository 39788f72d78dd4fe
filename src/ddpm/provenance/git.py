"""git as a child process, with English messages, without optional locks."""

import os
import shlex
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ddpm.common.redact import error_output, redact_text

PATIENCE = 120.0
"""Seconds for a command that only reads or writes this repository."""
HERE = Path()


class GitError(ValueError):
    """A git command failed; the message has git's own."""


def environment(variables: Mapping[str, str] | None = None, *, prompts: bool = True) -> dict[str, str]:
    """Return the environment of git: no locks for reading, English messages.

    variables: additions. prompts: False forbids password prompts on the terminal.
    """
    quiet = {} if prompts else {"GIT_TERMINAL_PROMPT": "0"}
    return {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **quiet, **(variables or {})}


def run(
    *arguments: str,
    folder: Path = HERE,
    variables: Mapping[str, str] | None = None,
    content: bytes = b"",
    limit: float | None = PATIENCE,
) -> "subprocess.CompletedProcess[bytes]":
    """Run git in a folder. Raises FileNotFoundError without git, subprocess.TimeoutExpired after `limit` seconds.

    variables: of this command, such as GIT_INDEX_FILE. content: its standard input. A command with a limit ignores
    Ctrl-C, so a training that saves and stops can still write its record.
    """
    return subprocess.run(
        ["git", *arguments],
        cwd=folder, env=environment(variables), input=content, capture_output=True, check=False, timeout=limit,
        start_new_session=limit is not None,
    )  # fmt: skip


def output(*arguments: str, folder: Path = HERE, variables: Mapping[str, str] | None = None) -> bytes | None:
    """Return git's output; None if it fails: outside a repository, without a commit, or without git."""
    try:
        done = run(*arguments, folder=folder, variables=variables)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def text(*arguments: str, folder: Path = HERE) -> str | None:
    """Return git's output as stripped text; None if it fails."""
    found = output(*arguments, folder=folder)
    return os.fsdecode(found).strip() if found is not None else None


def require(*arguments: str, folder: Path = HERE, variables: Mapping[str, str] | None = None) -> str:
    """Return git's output as stripped text. Raises GitError if it fails."""
    done = run(*arguments, folder=folder, variables=variables)
    if done.returncode:
        raise GitError(f"`git {arguments[0]}` failed: {redact_text(done.stderr.decode(errors='replace').strip())}")
    return os.fsdecode(done.stdout).strip()


def failure(*arguments: str, folder: Path = HERE, content: bytes = b"", limit: float | None = PATIENCE) -> str:
    """Run git; return its last message, without credentials, if it fails, else an empty text."""
    return error_output(run(*arguments, folder=folder, content=content, limit=limit))


def identity(name: str) -> dict[str, str]:
    """Return environment variables that name `name` on this machine as author and committer; empty if git knows one."""
    if text("var", "GIT_COMMITTER_IDENT") and text("var", "GIT_AUTHOR_IDENT"):
        return {}
    who = {"NAME": name, "EMAIL": f"{name}@{socket.gethostname()}"}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}


def trouble(folder: Path = HERE) -> str:
    """Explain why git has no commit for this folder, with the remedy; empty if it has one."""
    try:
        done = run("rev-parse", "--verify", "HEAD", folder=folder)
    except FileNotFoundError:
        return "git is not installed: install it with the system's package manager"
    message = done.stderr.decode(errors="replace").strip()
    if done.returncode == 0:
        return ""
    here = folder.resolve()
    if "dubious ownership" in message:
        return (
            f"git refuses {here} because it belongs to another user: "
            f"git config --global --add safe.directory {shlex.quote(str(here))}"
        )
    if "not a git repository" in message:
        return "this folder is not a git repository: get the project by `git clone`, or run `git init` here and commit"
    if "single revision" in message:
        return "the repository has no commit yet: `git add --all` and `git commit` make one"
    return f"git failed: {message.splitlines()[0] if message else f'exit status {done.returncode}'}"
