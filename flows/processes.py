"""Run commands in sessions of their own, read their output line by line, and stop their whole process trees."""

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

from ddpm.common.redact import shown_output

LINES_KEPT = 400
GRACE = 60.0
"""Seconds between SIGINT, on which training saves, and SIGKILL."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, its last lines, and whether the time limit stopped it."""

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
    say: Callable[[str], None],
    *,
    limit: float | None = None,
    grace: float = GRACE,
    environment: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
) -> Ended:
    """Run `command` to its end, calling `say` with each line as it comes (from a thread of its own).

    keep: open file descriptors that it inherits, under the same numbers.

    After `limit` seconds the whole group is stopped. An exception in the waiting thread (Ctrl-C, SIGTERM turned into an
    exception, cancellation) stops the group too, and propagates. No process of the group is left behind.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
        pass_fds=keep,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines: deque[str] = deque(maxlen=LINES_KEPT)
    reader = threading.Thread(target=_read, args=(process, lines, say), daemon=True)
    reader.start()
    timed_out = threading.Event()
    timer = threading.Timer(limit, _out_of_time, (process, grace, timed_out)) if limit else None
    if timer:
        timer.start()
    try:
        process.wait()
    finally:
        if timer:
            timer.cancel()
        if timer and timed_out.is_set():
            timer.join()  # it is stopping the group: a second SIGINT would end it without saving
        else:
            stop(process, grace)
        reader.join(timeout=5)
    return Ended(process.returncode, tuple(lines), timed_out.is_set())


def launch(
    command: Sequence[str], log: Path, environment: Mapping[str, str], keep: Sequence[int] = ()
) -> "subprocess.Popen[str]":
    """Start a long-running process in a session of its own; its output is appended to `log`.

    keep: open file descriptors that it inherits, under the same numbers.
    """
    with log.open("a") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the starter alone, which stops it in order
            env=environment,
            pass_fds=keep,
            text=True,
        )


def stop(process: subprocess.Popen[str], grace: float) -> None:
    """Interrupt `process` and its descendants, wait for `grace` seconds, then kill what is left.

    A second Ctrl-C while waiting kills at once. Descendants in sessions of their own are found as long as the chain of
    parents holds. Nothing happens if all have ended.
    """
    alive = _family(process)
    if not alive:
        process.wait()
        return
    _interrupt(process.pid, alive)
    try:
        deadline = time.monotonic() + grace
        while alive and time.monotonic() < deadline:
            process.poll()  # reaps it
            alive = _grown(each for each in alive if runs(each))
            time.sleep(0.05)
    finally:
        for each in _grown([*alive, *_family(process)]):
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


def _family(process: subprocess.Popen[str]) -> list[psutil.Process]:
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


def _grown(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes with their new children: a server that is stopped while it starts may still start some."""
    found: dict[int, psutil.Process] = {}
    for each in processes:
        found[each.pid] = each
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {child.pid: child for child in each.children(recursive=True)}
    return list(found.values())


def runs(process: psutil.Process) -> bool:
    """Whether it is still the same process, and not a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _out_of_time(process: subprocess.Popen[str], grace: float, timed_out: threading.Event) -> None:
    """Stop the group when the time limit is reached."""
    timed_out.set()
    stop(process, grace)


def _read(process: subprocess.Popen[str], lines: deque[str], say: Callable[[str], None]) -> None:
    """Pass each line on; the thread ends with the last writer of the pipe."""
    for line in process.stdout or ():  # a pipe, as `run` asked for; None is for the types
        text = shown_output(line.rstrip())
        if text:
            lines.append(text)
            say(text)
