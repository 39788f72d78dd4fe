"""Python programs in processes forked from a server that has imported the large packages already (`fork_server`)."""

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

COMMANDS = ("ddpm", "dvc")
BIN = Path(sys.executable).parent
FORKING = Path(__file__).with_name("forking")


class Process:
    """A forked program, with the part of subprocess.Popen that tests use."""

    def __init__(
        self, command: Sequence[str], connection: socket.socket, stdin: IO[str] | None = None,
        stdout: IO[str] | None = None,
    ) -> None:  # fmt: skip
        self.args, self.stdin, self.stdout, self.returncode = command, stdin, stdout, None
        self._connection = connection
        self._answers = connection.makefile()
        self.pid = int(self._answers.readline())

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                answer = self._answers.readline()
            except TimeoutError as error:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from error
            assert answer, f"the forked {self.args} left no exit status"
            self.returncode = int(answer)
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit status, or None while the program runs."""
        if self.returncode is None and not select.select([self._connection], [], [], 0)[0]:
            return None
        return self.wait()

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Read the outputs to their end and wait."""
        if self.stdin:
            self.stdin.close()
        words = self.stdout.read() if self.stdout else ""
        self.wait(timeout)
        return words, None

    def send_signal(self, number: int) -> None:
        """Send a signal unless the program has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


def start(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, stderr: int | None = None
) -> Process:
    """Start Python, or a command of this environment; its input is the pipe `stdin`.

    stderr: an open file descriptor for its errors, which else are in `stdout` too.
    """
    program = _program(command)
    assert program is not None, command
    (its_input, to_it), (from_it, its_output) = os.pipe(), os.pipe()
    try:
        connection = _order(program, cwd, env, (its_input, its_output, its_output if stderr is None else stderr))
    finally:
        os.close(its_input)
        os.close(its_output)
    return Process(command, connection, os.fdopen(to_it, "w"), os.fdopen(from_it, encoding="utf-8"))


def run(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, limit: float = 600
) -> "subprocess.CompletedProcess[str]":
    """Run a command without input; both outputs as text. Python and this environment's commands are forked.

    Raises subprocess.TimeoutExpired after `limit` seconds.
    """
    program = _program(command)
    if program is None:
        return subprocess.run(
            command, cwd=cwd, env=env, text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL,
            timeout=limit,
        )  # fmt: skip
    with open(os.devnull, "rb") as none, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = (none.fileno(), out.fileno(), err.fileno())
        status = Process(command, _order(program, cwd, env, files)).wait(limit)
        for each in (out, err):
            each.seek(0)
        words = [each.read().decode("utf-8", "replace") for each in (out, err)]
    return subprocess.CompletedProcess(command, status, *words)


def stages(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with a `python` first on the path that runs DVC's stages in forked processes too.

    The stage is no descendant of DVC, but it gets its signals and ends with it.
    """
    return {
        **environment, "PATH": f"{FORKING}{os.pathsep}{environment['PATH']}", "PYTHON_OF_TESTS": sys.executable,
        "FORK_SERVER_SOCKET": _address(),
    }  # fmt: skip


def _order(
    program: list[str], cwd: Path | None, env: Mapping[str, str] | None, files: tuple[int, int, int]
) -> socket.socket:
    """Ask the server for a process; the connection on which it sends the process id and the exit status."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_address())
    socket.send_fds(connection, [b"!"], files)
    order = {"program": program, "cwd": str(cwd or Path.cwd()), "env": dict(os.environ if env is None else env)}
    connection.sendall(json.dumps(order).encode() + b"\n")
    return connection


def _program(command: Sequence[str]) -> list[str] | None:
    """The arguments behind `python`; None for a command that is not Python of this environment."""
    first, *rest = map(str, command)
    if first in {"python", sys.executable}:
        return rest
    if first in COMMANDS or (Path(first).parent == BIN and Path(first).name in COMMANDS):
        return [str(BIN / Path(first).name), *rest]
    return None


@functools.cache
def _address() -> str:
    """The server's socket. It is started at the first use and ends with this process, which holds its input open."""
    folder = tempfile.mkdtemp(prefix="forked-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [sys.executable, "-I", str(Path(__file__).with_name("fork_server.py")), f"{folder}/socket"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_quiet(), start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    _address.process = process  # type: ignore[attr-defined]  # whose end would close the input
    return command[-1]


def _quiet() -> dict[str, str]:
    """The environment in which the packages are imported; a program's own replaces it."""
    switches = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    own = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW", "PREFECT", "PYTHON"))}
    return own | switches
