"""Python programs in processes forked from a server that has imported the large packages already.

Torch, MLflow and pandas take seconds to import in each of hundreds of processes. The server imports none of this
project's own modules, so a program finds those of the checkout that its PYTHONPATH names.
"""

import atexit
import functools
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "torch", "torchmetrics", "scipy.stats", "pandas", "matplotlib.pyplot", "PIL.Image", "safetensors.torch", "mlflow",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store", "typer", "rich.table",
    "ruamel.yaml", "httpx", "pydantic", "dvc.cli", "dvc.repo",
)  # fmt: skip
COMMANDS = ("ddpm", "dvc")
BIN = Path(sys.executable).parent


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
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as connection:
        outputs = [str(Path(folder) / name) for name in ("out", "err")]
        connection.settimeout(limit)
        connection.connect(_address())
        order = {"program": program, "cwd": str(cwd or Path.cwd()), "env": dict(env or os.environ), "outputs": outputs}
        connection.sendall(json.dumps(order).encode() + b"\n")
        try:
            answer = connection.makefile().readline()
        except TimeoutError as error:
            raise subprocess.TimeoutExpired(command, limit) from error
        assert answer, f"the forked {command} left no exit status"
        out, err = (Path(path).read_text(encoding="utf-8", errors="replace") for path in outputs)
    return subprocess.CompletedProcess(command, int(answer), out, err)


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
    command = [sys.executable, "-I", __file__, f"{folder}/socket"]
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


def _serve(address: str) -> None:
    """Fork a process for each order."""
    for name in PRELOADED:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _watch(connection)
            connection.close()


def _watch(connection: socket.socket) -> None:
    """Fork the program, wait for it and answer with its exit status: negative for a signal, as in subprocess."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order = json.loads(connection.makefile().readline())
    child = os.fork()
    if child == 0:
        connection.close()
        _become(**order)
    _, status = os.waitpid(child, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(program: list[str], cwd: str, env: dict[str, str], outputs: list[str]) -> NoReturn:
    """Set up what a new interpreter would find, run the program and exit."""
    os.setsid()
    for number, target in enumerate(("/dev/null", *outputs)):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(target, flags, 0o600), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    own = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    status = 1
    try:
        if program[0] == "-c":
            sys.path[:0] = ["", *own]
            sys.argv = ["-c", *program[2:]]
            exec(compile(program[1], "<string>", "exec"), {"__name__": "__main__"})
        elif program[0] == "-m":
            sys.path[:0] = [cwd, *own]
            sys.argv = program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[:0] = [str(Path(program[0]).parent), *own]
            sys.argv = list(program)
            runpy.run_path(program[0], run_name="__main__")
        status = 0
    except SystemExit as left:
        status = _exit_status(left.code)
    except BaseException:  # noqa: BLE001 - as the interpreter ends
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    atexit._run_exitfuncs()
    os._exit(status)


def _exit_status(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    _serve(sys.argv[1])
