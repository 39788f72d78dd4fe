"""Run commands in their own sessions, read their output line by line, and stop whole process trees."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ddpm.common.redact import redact_line

LINES_KEPT = 400
"""Lines of output in a ProcessResult."""
Log = Callable[[str], None]
"""A function that logs one line."""
GRACE = 60.0
"""Seconds between SIGINT, on which training saves, and SIGKILL."""


@dataclass(frozen=True)
class ProcessResult:
    """The result of a command: its exit status, its last lines, and whether the time limit stopped it."""

    code: int
    lines: tuple[str, ...]
    timed_out: bool


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `python -m MODULE ARGUMENTS` as a process that ends with this one.

    It handles SIGINT even if this process ignores it, because SIGINT asks a process to save its state and stop.
    """
    launcher = [sys.executable, "-P", "-m", "ddpm.runtime.parent", "--interruptible", str(os.getpid())]
    return [*launcher, module, *arguments]


def run(
    command: Sequence[str],
    log: Log,
    *,
    limit: float | None = None,
    grace: float = GRACE,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    folder: Path | None = None,
) -> ProcessResult:
    """Run `command` to its end, calling `log` with each line as it arrives (from another thread).

    pass_fds: open file descriptors that it inherits, under the same numbers. folder: its current folder, by default
    that of this process.

    After `limit` seconds the whole group is stopped. An exception in the waiting thread (Ctrl-C, SIGTERM turned into an
    exception, cancellation) stops the group too, and propagates. No process of the group is left running.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
        pass_fds=pass_fds,
        cwd=folder,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines: deque[str] = deque(maxlen=LINES_KEPT)
    reader = threading.Thread(target=_read, args=(process, lines, log), daemon=True)
    reader.start()
    timed_out = threading.Event()
    timer = threading.Timer(limit, _stop_at_limit, (process, grace, timed_out)) if limit else None
    if timer:
        timer.start()
    try:
        process.wait()
    finally:
        if timer:
            timer.cancel()
        if timer and timed_out.is_set():
            timer.join()  # it is stopping the group: a second SIGINT would kill it before it has saved
        else:
            stop(process, grace)
        reader.join(timeout=5)
    return ProcessResult(process.returncode, tuple(lines), timed_out.is_set())


def launch(
    command: Sequence[str], log_file: Path, environment: Mapping[str, str], pass_fds: Sequence[int] = ()
) -> "subprocess.Popen[str]":
    """Start a long-running process in its own session, its output appended to `log_file`.

    pass_fds: open file descriptors that it inherits, under the same numbers.
    """
    with log_file.open("a") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only this process, which stops the other in order
            env=environment,
            pass_fds=pass_fds,
            text=True,
        )


def stop(process: subprocess.Popen[str], grace: float) -> None:
    """Interrupt `process` and its descendants, wait for `grace` seconds, then kill the remaining ones.

    A second Ctrl-C while waiting kills them at once. Descendants in other sessions are found while their chain of
    parents is intact. Does nothing if all have ended.
    """
    alive = _process_tree(process)
    if not alive:
        process.wait()
        return
    _interrupt(process.pid, alive)
    try:
        deadline = time.monotonic() + grace
        while alive and time.monotonic() < deadline:
            process.poll()  # reaps it
            alive = _with_new_children(each for each in alive if runs(each))
            time.sleep(0.05)
    finally:
        for each in _with_new_children([*alive, *_process_tree(process)]):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()


def _interrupt(group: int, alive: Sequence[psutil.Process]) -> None:
    """Send SIGINT to the group, and to the descendants that have left it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGINT)
    for each in alive:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(each.pid) != group:
                each.send_signal(signal.SIGINT)


def _process_tree(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The running processes among the process, its descendants, and the orphaned members of its group."""
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(process.pid)
        if process.poll() is None:
            found = {each.pid: each for each in (leader, *leader.children(recursive=True))}
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if each.pid not in found and os.getpgid(each.pid) == process.pid:
                found[each.pid] = each
    return [each for each in found.values() if runs(each)]


def _with_new_children(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes and their new children, which a server may start even while it is being stopped."""
    found: dict[int, psutil.Process] = {}
    for each in processes:
        found[each.pid] = each
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {child.pid: child for child in each.children(recursive=True)}
    return list(found.values())


def runs(process: psutil.Process) -> bool:
    """Return True if it is still the same process and not a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _stop_at_limit(process: subprocess.Popen[str], grace: float, timed_out: threading.Event) -> None:
    """Stop the group when the time limit is reached."""
    timed_out.set()
    stop(process, grace)


def _read(process: subprocess.Popen[str], lines: deque[str], log: Log) -> None:
    """Log each line; the thread ends when the last writer closes the pipe."""
    for line in process.stdout or ():  # never None, because `run` asks for a pipe
        text = redact_line(line.rstrip())
        if text:
            lines.append(text)
            log(text)
