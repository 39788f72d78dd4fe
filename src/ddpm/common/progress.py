"""Progress of long work: a bar on a terminal, lines in a log, with rate and remaining time."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ddpm.common import units

SECONDS_BETWEEN_LINES = float(os.environ.get("DDPM_PROGRESS_SECONDS", "10"))
"""A flow that shows the lines as a bar on a terminal sets one second."""


class Progress:
    """Counts `total` items, named `unit`; call `advance` as they are finished.

    A `note` is a short text shown after the figures, for example the loss.
    """

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self.first = 0
        self.started = self.shown = time.monotonic()

    def start_at(self, done: int) -> None:
        """Set the number of items already done when a job resumes; they do not count in the rate."""
        self.done = self.first = done

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more items, and show the progress if it is due."""
        self.done += count
        self.show(note)

    def rate(self) -> float:
        """Items per second, without those done before this process started."""
        return (self.done - self.first) / max(time.monotonic() - self.started, 1e-9)

    def show(self, note: str) -> None:
        """Print a line if the last one is SECONDS_BETWEEN_LINES old."""
        now = time.monotonic()
        if now - self.shown >= SECONDS_BETWEEN_LINES and self.done < self.total:
            self.shown = now
            print(self.line(note), flush=True)

    def line(self, note: str) -> str:
        """A line such as `train: 12,000 of 57,000 images (21%), 190/s, 3m 57s left, loss 0.0312`."""
        rate = self.rate()
        left = (self.total - self.done) / rate if rate > 0 else float("inf")
        text = (
            f"{self.label}: {self.done:,} of {self.total:,} {self.unit} ({self.done / max(self.total, 1):.0%}), "
            f"{units.rate(rate)}, {units.duration(left)} left"
        )
        return f"{text}, {note}" if note else text

    def close(self) -> None:
        """Print a closing line with the number of items, the duration and the rate."""
        seconds = time.monotonic() - self.started
        print(
            f"{self.label}: {self.done:,} {self.unit} in {units.duration(seconds)} ({units.rate(self.rate())})",
            flush=True,
        )


class BarProgress(Progress):
    """Progress as a bar on a terminal."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        super().__init__(label, total, unit)
        self.bar = RichProgress(TextColumn("{task.description}", markup=False), BarColumn(), transient=True)
        self.task = self.bar.add_task(label, total=total)
        self.bar.start()

    def show(self, note: str) -> None:
        """Redraw the bar."""
        self.bar.update(self.task, completed=self.done, description=self.line(note))

    def close(self) -> None:
        """Remove the bar and print the closing line."""
        self.bar.stop()
        super().close()


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Progress]:
    """Show progress during the block. If the block fails, there is no closing line."""
    shown: Progress = BarProgress(label, total, unit) if sys.stdout.isatty() else Progress(label, total, unit)
    try:
        yield shown
    except BaseException:
        if isinstance(shown, BarProgress):
            shown.bar.stop()
        raise
    shown.close()
