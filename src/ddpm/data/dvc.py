"""DVC as a child process: its command line, its environment, and the meaning of its output.

DVC has no stable output format, so every pattern that parses its messages is in this file (DVC 3.67).
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ddpm.common.redact import error_output

BUSY = re.compile(r"is busy, it is being blocked by|Unable to acquire lock|failed to lock|database is locked", re.I)
CACHED = re.compile(r"^(Stage )?'.+' didn't change, skipping$")
RESTORED = re.compile(r"^Stage '.+' is cached - skipping run")
RECORDED = re.compile(r"^Verifying (data sources in stage|outputs in frozen stage): ")
RUNNING = re.compile(r"^Running stage '([^']+)'")
EXITED = re.compile(r"exited with (-?\d+)\b")
CHATTER = re.compile(
    r"^(Running stage '|> |Updating lock file|Generating lock file|To track the changes with git|To enable auto staging"
    r"|\s*git add |\s*dvc config |Use `dvc push`|Data and pipelines are up to date|Everything is up to date"
    r"|No remote provided and no default remote set|A\s+\S+$|\d+ files? (added|fetched)"
    r"|Stage '.+' (didn't change|is cached)|'.+' didn't change|Verifying (data sources|outputs)"
    r"|ERROR: failed to reproduce '.+': failed to run: |WARNING: stage: '.+' is frozen"
    r"|WARNING: Process '.+' with \(Pid \d+\), in RWLock-file)"
)
"""Progress and hints for interactive use, and DVC's account of a failed stage, which gives its reason itself."""
ADVERTISEMENT = re.compile(r"\s*$|Having any troubles\?|.*https?://(error\.)?dvc\.org/\S*$")
"""Empty lines and links to DVC's pages, around the line that gives the reason of a failure."""


def command(*arguments: str, python: str = sys.executable) -> list[str]:
    """The command line of DVC as installed for an interpreter."""
    return [python, "-m", "dvc", *arguments]


def environment(python: str = sys.executable, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of DVC. `python` is first on the path, where the stages' commands look up `python`."""
    return {
        **base,
        "PATH": f"{Path(python).parent}{os.pathsep}{base.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
    }


def message_lines(lines: Iterable[str]) -> list[str]:
    """Keep the lines of DVC's output that are not chatter."""
    return [line for line in lines if not CHATTER.match(line)]


def exit_status(lines: Iterable[str], code: int) -> int:
    """Return the exit status of the stage that DVC names as failed, else DVC's own, which is 255 for every failure."""
    found = [match for line in lines if (match := EXITED.search(line))]
    return int(found[-1][1]) if found else code


def is_busy(lines: Iterable[str]) -> bool:
    """Return True if DVC failed because another DVC process holds a lock, so that a retry can succeed."""
    return any(BUSY.search(line) for line in lines)


def run(*arguments: str) -> str:
    """Run DVC here and return its standard output. On a terminal, its progress and errors are shown.

    DVC ends with this process. It inherits inheritable descriptors, among them `replace.LOCK`, so the next command
    waits until both have ended. Raises ValueError with DVC's message if it fails.
    """
    on_terminal = sys.stderr.isatty()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ddpm.runtime.parent", str(os.getpid()), "dvc", *arguments],
        stdout=subprocess.PIPE,
        stderr=None if on_terminal else subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        close_fds=False,
        env=environment(),
    )
    if done.returncode:
        lines = [line for line in message_lines((done.stderr or "").splitlines()) if not ADVERTISEMENT.match(line)]
        why = "DVC's message is above." if on_terminal else "\n".join(lines)
        raise ValueError(f"`dvc {' '.join(arguments)}` failed, and nothing was changed. {why}")
    return done.stdout


def failure(*arguments: str, folder: Path, python: str) -> str:
    """Run another environment's DVC in another folder; return its last message if it fails, else an empty text."""
    done = subprocess.run(
        command(*arguments, python=python), cwd=folder, env=environment(python), capture_output=True, check=False
    )
    return error_output(done)
