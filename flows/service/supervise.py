"""Keep processes running: restart one that ends, after a growing pause, until it has ended too often."""

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

from flows import processes

FIRST_PAUSE = 1.0
"""Seconds before the first restart; each further restart within WINDOW waits twice as long."""
DEATHS = 5
WINDOW = 600.0
"""DEATHS within WINDOW seconds: a restart does not help."""
TICK = 0.25

Log = Callable[[str], None]
Tick = Callable[[], None]


class SupervisionError(RuntimeError):
    """A process ended too often; the message says which, how, and where its log is."""


@dataclass
class Member:
    """One process that is kept running.

    start: starts it in a session of its own. ready: whether it can start. ask: the signal that stops it, sent to its
    children first if `children_first`. grace: seconds between that signal and SIGKILL.
    """

    name: str
    start: Callable[[], "subprocess.Popen[str]"]
    log_file: Path
    ready: Callable[[], bool] = lambda: True
    ask: signal.Signals = signal.SIGINT
    grace: float = 10.0
    children_first: bool = False
    child: "subprocess.Popen[str] | None" = None
    due: float = 0.0
    deaths: list[float] = field(default_factory=list)

    def tend(self, log: Log) -> None:
        """Start it when it is due. Raises SupervisionError if it has ended too often."""
        now = time.monotonic()
        if self.child is not None and self.child.poll() is not None:
            self._ended(self.child, now, log)
        if self.child is None and now >= self.due and self.ready():
            self.child = self.start()

    def _ended(self, child: "subprocess.Popen[str]", now: float, log: Log) -> None:
        how = _how(child.returncode)
        processes.stop(child, self.grace)  # its own children
        self.child = None
        self.deaths = [each for each in self.deaths if now - each < WINDOW] + [now]
        if len(self.deaths) >= DEATHS:
            raise SupervisionError(
                f"{self.name} ended {DEATHS} times in {now - self.deaths[0]:.0f} s, at last {how}: a restart "
                f"does not help. Its log: {self.log_file}"
            )
        pause = FIRST_PAUSE * 2 ** (len(self.deaths) - 1)
        self.due = now + pause
        log(f"{self.name} ended {how}; starting it again in {pause:.0f} s. Its log: {self.log_file}")

    def stop(self) -> None:
        """Stop it and everything it started."""
        if self.child is None:
            return
        if self.children_first:
            self._stop_children(self.child.pid)
        if self.ask is not signal.SIGINT and self.child.poll() is None:
            self.child.send_signal(self.ask)
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
                    each.send_signal(self.ask)
            psutil.wait_procs(children, timeout=self.grace)


def keep(members: Iterable[Member], ended: threading.Event, log: Log, tick: Tick = lambda: None) -> None:
    """Keep all members running until `ended`, then stop them in reverse order. tick: called between checks."""
    kept = list(members)
    try:
        while not ended.is_set():
            for each in kept:
                each.tend(log)
            tick()
            ended.wait(TICK)
    finally:
        for each in reversed(kept):
            each.stop()


def until_asked() -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return ended


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
