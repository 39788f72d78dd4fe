"""End a run whose Prefect server is lost.

Prefect's client would continue without the server, and then retry for many minutes at each state change and at exit,
ignoring Ctrl-C.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

import psutil

from ddpm.common.units import duration
from flows import console, processes
from flows.service.prefect_server import PATIENCE, Server

POLL_SECONDS = 1.0
LONGEST_INTERVAL = 5.0
"""Seconds that one check adds at most, because this process may itself have been suspended."""
FAILED, INTERRUPTED = 1, 130
"""Exit statuses."""
STOPPED = "Training has saved its state; the same command resumes it."


class Watchdog:
    """Checks the server from a thread, and ends this process when the server is lost."""

    def __init__(self, server: Server, terminal: console.Terminal, patience: float = PATIENCE) -> None:
        self.server, self.terminal, self.patience = server, terminal, patience
        self.lost = ""
        self._interrupted = False
        self._closed = threading.Event()
        self._ending = threading.Lock()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the server during the block. Call it in the main thread, because it intercepts Ctrl-C."""
        before = signal.signal(signal.SIGINT, self._on_sigint)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            yield
        finally:
            self._closed.set()
            if self.lost:
                self.end(FAILED)
            signal.signal(signal.SIGINT, before)

    def _on_sigint(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        signal.default_int_handler(number, frame)

    def _watch(self) -> None:
        silent, looked = 0.0, time.monotonic()
        while not self._closed.wait(POLL_SECONDS):
            ended = self.server.process is not None and self.server.process.poll() is not None
            if not ended and self.server.answers():
                silent, looked = 0.0, time.monotonic()
                continue
            now = time.monotonic()
            if not silent and not ended and not self._interrupted:
                text = f"the server does not answer; if it does not for {duration(self.patience)}, this run ends"
                self.terminal.line("prefect", text, "yellow")
            silent, looked = silent + min(now - looked, LONGEST_INTERVAL), now
            if ended or silent >= self.patience:
                self.lost = "has ended" if ended else f"has not answered for {duration(silent)}"
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                self._wait_for_children()
                self.end(FAILED)
            elif self._interrupted:
                self._wait_for_children()
                self.end(INTERRUPTED)

    def _wait_for_children(self) -> None:
        """Wait for the children, which the main thread has interrupted, to save and stop."""
        own = self.server.process.pid if self.server.process else 0
        deadline = time.monotonic() + processes.GRACE + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.NoSuchProcess):
                if all(each.pid == own or not processes.runs(each) for each in psutil.Process().children()):
                    return
            time.sleep(0.1)

    def end(self, status: int) -> None:
        """Print the reason, and exit without another request to the server. Does not return."""
        with self._ending:  # never released, so that a second caller waits for the exit
            if self.lost:
                log = f" Its log: {self.server.log_file}." if self.server.log_file else ""
                text = (
                    f"Prefect's server at {self.server.page} {self.lost}.{log} Finished stages are kept, and training "
                    "has saved its state: run the same command again."
                )
                self.terminal.line("failed", text, "red")
                status = FAILED
            else:
                self.terminal.line("stopped", STOPPED, "yellow")
            self.server.stop()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
