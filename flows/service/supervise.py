"""Supervise processes: restart one that ends, after a growing pause, until it has ended too often."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from ddpm.common.units import duration
from flows import processes
from flows.processes import Log

FIRST_PAUSE = 1.0
"""Seconds before the first restart; each further restart within WINDOW waits twice as long."""
MAX_EXITS = 5
WINDOW = 600.0
"""Seconds. A process that ends MAX_EXITS times within them is not restarted again."""
TICK = 0.25


class SupervisionError(RuntimeError):
    """A process ended too often; the message has its name, its exit status and its log file."""


@dataclass
class SupervisedProcess:
    """A process that is kept running.

    start: starts it in its own session. ready: whether it can start. stop_signal: the signal that stops it, sent to its
    children first if `children_first`. grace: seconds between that signal and SIGKILL.
    """

    name: str
    start: Callable[[], "subprocess.Popen[str]"]
    log_file: Path
    ready: Callable[[], bool] = lambda: True
    stop_signal: signal.Signals = signal.SIGINT
    grace: float = 10.0
    children_first: bool = False
    child: "subprocess.Popen[str] | None" = None
    due: float = 0.0
    exits: list[float] = field(default_factory=list)

    def ensure_running(self, log: Log) -> None:
        """Start it if it is due. Raises SupervisionError if it has ended too often."""
        now = time.monotonic()
        if self.child is not None and self.child.poll() is not None:
            self._handle_exit(self.child, now, log)
        if self.child is None and now >= self.due and self.ready():
            self.child = self.start()

    def _handle_exit(self, child: "subprocess.Popen[str]", now: float, log: Log) -> None:
        how = _describe_exit(child.returncode)
        processes.stop(child, self.grace)  # its own children
        self.child = None
        self.exits = [each for each in self.exits if now - each < WINDOW] + [now]
        if len(self.exits) >= MAX_EXITS:
            raise SupervisionError(
                f"{self.name} ended {MAX_EXITS} times in {duration(now - self.exits[0])}, the last time {how}: another "
                f"restart would not help. Its log: {self.log_file}"
            )
        pause = FIRST_PAUSE * 2 ** (len(self.exits) - 1)
        self.due = now + pause
        log(f"{self.name} ended {how}; restarting it in {duration(pause)}. Its log: {self.log_file}")

    def stop(self) -> None:
        """Stop it and its descendants."""
        if self.child is None:
            return
        if self.children_first:
            self._stop_children(self.child.pid)
        if self.stop_signal is not signal.SIGINT and self.child.poll() is None:
            self.child.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):  # SIGKILL follows
                self.child.wait(self.grace)
        processes.stop(self.child, self.grace)
        self.child = None

    def _stop_children(self, parent: int) -> None:
        """Signal its children and wait for them to end."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(parent).children()
            for each in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(self.stop_signal)
            psutil.wait_procs(children, timeout=self.grace)


def keep_running(
    members: Iterable[SupervisedProcess], stop: threading.Event, log: Log, tick: Callable[[], None] = lambda: None
) -> None:
    """Keep all members running until `stop` is set, then stop them in reverse order. tick: called between checks."""
    kept = list(members)
    try:
        while not stop.is_set():
            for each in kept:
                each.ensure_running(log)
            tick()
            stop.wait(TICK)
    finally:
        for each in reversed(kept):
            each.stop()


def stop_event() -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return stop


def _describe_exit(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
