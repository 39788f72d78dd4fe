"""Keep processes running: one that ends is started again, later each time, until it has ended too often."""

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
"""Seconds before the first restart; each further one within WINDOW waits twice as long."""
DEATHS = 5
WINDOW = 600.0
"""So many deaths in so many seconds, and the cause is not one that a restart mends."""
TICK = 0.25

Say = Callable[[str], None]
Tick = Callable[[], None]


class SupervisionError(RuntimeError):
    """A process ended again and again; the message says which, how, and where its log is."""


@dataclass
class Member:
    """One process that is kept running.

    start: starts it, in a session of its own. ready: whether what it needs is there. ask: how it is asked to end at
    the stop of all, after its own children if `children_first`. grace: seconds between that and the end by force.
    """

    name: str
    start: Callable[[], "subprocess.Popen[str]"]
    log: Path
    ready: Callable[[], bool] = lambda: True
    ask: signal.Signals = signal.SIGINT
    grace: float = 10.0
    children_first: bool = False
    child: "subprocess.Popen[str] | None" = None
    due: float = 0.0
    deaths: list[float] = field(default_factory=list)

    def tend(self, say: Say) -> None:
        """Start it when it is due. Raises SupervisionError when it has ended too often."""
        now = time.monotonic()
        if self.child is not None and self.child.poll() is not None:
            self._ended(now, say)
        if self.child is None and now >= self.due and self.ready():
            self.child = self.start()

    def _ended(self, now: float, say: Say) -> None:
        assert self.child is not None  # noqa: S101 - for the types
        how = _how(self.child.returncode)
        processes.stop(self.child, self.grace)  # what it had started itself
        self.child = None
        self.deaths = [each for each in self.deaths if now - each < WINDOW] + [now]
        if len(self.deaths) >= DEATHS:
            raise SupervisionError(
                f"{self.name} ended {DEATHS} times in {now - self.deaths[0]:.0f} s, at last {how}: starting it again "
                f"does not mend what is wrong. Its log: {self.log}"
            )
        pause = FIRST_PAUSE * 2 ** (len(self.deaths) - 1)
        self.due = now + pause
        say(f"{self.name} ended {how}; starting it again in {pause:.0f} s. Its log: {self.log}")

    def stop(self) -> None:
        """End it, and all that it started."""
        if self.child is None:
            return
        if self.children_first:
            self._stop_children(self.child.pid)
        if self.ask is not signal.SIGINT and self.child.poll() is None:
            self.child.send_signal(self.ask)
            with contextlib.suppress(subprocess.TimeoutExpired):  # the end by force follows
                self.child.wait(self.grace)
        processes.stop(self.child, self.grace)
        self.child = None

    def _stop_children(self, parent: int) -> None:
        """Ask what it has started to end, and wait until it has."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(parent).children()
            for each in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(self.ask)
            psutil.wait_procs(children, timeout=self.grace)


def keep(members: Iterable[Member], ended: threading.Event, say: Say, tick: Tick = lambda: None) -> None:
    """Start all, keep them running until `ended`, then stop them, the last first. tick: done between looks."""
    kept = list(members)
    try:
        while not ended.is_set():
            for each in kept:
                each.tend(say)
            tick()
            ended.wait(TICK)
    finally:
        for each in reversed(kept):
            each.stop()


def until_asked() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return ended


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
