"""The server that `forked` starts: it imports the large packages once, then forks a process for each program.

It imports none of the project's own modules, so a program uses those of the checkout that its PYTHONPATH names.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "torch", "torchmetrics", "scipy.stats", "pandas", "matplotlib.pyplot", "PIL.Image", "safetensors.torch", "mlflow",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store", "typer", "rich.table",
    "ruamel.yaml", "httpx", "pydantic", "dvc.cli", "dvc.repo", "torch._dynamo",
)  # fmt: skip


def _serve(address: str) -> None:
    """Fork a process for each order."""
    for name in PRELOADED:
        __import__(name)
    gc.collect()
    gc.freeze()  # so that no program looks through the objects of the packages
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    bound: dict[int, socket.socket] = {}  # those of `running` that end with their caller
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([server, sys.stdin, ended, *bound.values()], [], [])[0]):
            for child in [each for each, connection in bound.items() if connection in ready]:  # its caller was killed
                del bound[child]
                os.kill(child, signal.SIGKILL)
            if ended in ready:
                os.read(ended, 4096)
                for child in _answer(running):
                    bound.pop(child, None)
            if server in ready:
                connection, _ = server.accept()
                _, files, _, _ = socket.recv_fds(connection, 1, 3)
                order = json.loads(connection.makefile().readline())
                ends_with_caller = order.pop("ends_with_caller", False)
                child = os.fork()
                if child == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for each in (server, connection, *running.values()):
                        each.close()
                    for number in (ended, wake):
                        os.close(number)
                    _become(files, **order)
                running[child] = connection
                if ends_with_caller:
                    bound[child] = connection
                connection.sendall(f"{child}\n".encode())
                for each in files:
                    os.close(each)


def _answer(running: dict[int, socket.socket]) -> list[int]:
    """Send the exit status of each program that has ended: negative for a signal, as in subprocess; return them."""
    found = []
    for child in list(running):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            found.append(pid)
            with running.pop(child) as connection, contextlib.suppress(OSError):  # nobody waits for it any more
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    return found


def _become(files: list[int], program: list[str], cwd: str, env: dict[str, str]) -> NoReturn:
    """Set up what a new interpreter would find, run the program and exit."""
    os.setsid()
    for number, source in enumerate(files):
        os.dup2(source, number)
    for each in {*files} - {0, 1, 2}:
        os.close(each)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # that of the server's TMPDIR
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
