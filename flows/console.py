"""A flow's output on the terminal: one line per event, and a progress bar for long work.

Prefect's page gets every line as well; Prefect's own messages stay off the terminal.
"""

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from ddpm.common import terminal

PROGRESS = re.compile(r"\((\d{1,3})%\).* left")
SECONDS_BETWEEN_LOGGED = 10.0
BAR = 10
STYLES = {
    "Cached": "cyan",
    "Restored": "cyan",
    "Completed": "green",
    "Fetched": "green",
    "Recorded": "yellow",
    "Skipped": "cyan",
    "Owed": "yellow",
    "Waiting": "yellow",
    "Rejected": "yellow",
    "Expired": "yellow",
    "Failed": "bold red",
}

OFF_THE_TERMINAL = ("prefect.flow_runs", "prefect.task_runs", "prefect.events", "prefect._internal")

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class Terminal:
    """Writes lines that begin with the name of a part; on a terminal, progress lines become a bar."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(highlight=False, soft_wrap=True)
        self.bar = False

    def line(self, part: str, text: str, style: str = "") -> None:
        """One line, without secrets and control characters. A progress line replaces the one before it."""
        text = terminal.message(text)
        share = PROGRESS.search(text) if self.console.is_terminal else None
        said = _without(part, text)
        if self.bar:
            self.console.control(_erase())
            self.bar = False
        if share:
            done = round(BAR * min(int(share[1]), 100) / 100)
            room = self.console.width - BAR - max(len(part), 10) - 2
            self._write(f"{part:<10}", f"{'━' * done}{'╌' * (BAR - done)} {fitted(said, room)}", "cyan", end="\r")
            self.bar = True
        else:
            self._write(f"{part:<10}", said, style, end="\n")

    def _write(self, part: str, text: str, style: str, end: str) -> None:
        from rich.text import Text

        self.console.print(Text.assemble((part, "bold"), (text, style)), end=end)


class Reporter:
    """Passes lines to Prefect's logger and, if attached, to the terminal."""

    terminal: Terminal | None = None

    def sayer(self, part: str, logger: Logger) -> Callable[[str], None]:
        """A function for the lines of one part. The log gets progress every ten seconds, not every second."""
        logged = 0.0

        def say(text: str) -> None:
            nonlocal logged
            text = terminal.message(text)
            if self.terminal:
                self.terminal.line(part, text)
            if PROGRESS.search(text):
                if time.monotonic() - logged < SECONDS_BETWEEN_LOGGED:
                    return
                logged = time.monotonic()
            logger.info("%s", text)

        return say

    def ended(self, part: str, did: str, text: str) -> None:
        """Show how a part ended."""
        if self.terminal:
            joint = " " if text.startswith(("in ", "from ")) else ": "
            self.terminal.line(part, f"{did}{joint if text else ''}{text}", STYLES.get(did, "green"))

    def attach(self) -> Terminal:
        """Show lines on this terminal from now on."""
        self.terminal = Terminal()
        return self.terminal


reporter = Reporter()
"""One per process."""


class Redacting(logging.Filter):
    """Redacts and escapes what is logged, tracebacks included (`ddpm.common.terminal.message`)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; none is dropped."""
        record.msg, record.args = terminal.message(record.getMessage()), None
        if record.exc_info and record.exc_info[0]:
            trace = "".join(traceback.format_exception(*record.exc_info))
            record.exc_text = terminal.message(trace.rstrip("\n"))
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs", "ddpm.notify"):
    logging.getLogger(_name).addFilter(Redacting(_name))


def quieten() -> None:
    """Keep Prefect's own lines off the terminal, except warnings. Call it after Prefect is imported."""
    for name in (None, "prefect"):
        for handler in logging.getLogger(name).handlers:
            if type(handler).__name__ == "PrefectConsoleHandler":
                handler.setLevel(logging.WARNING)
                # Failures are reported at the end; their tracebacks are on Prefect's page.
                handler.addFilter(lambda record: not record.name.startswith(OFF_THE_TERMINAL))
    # It logs every event that a lost server did not take; `flows.service.watchdog` reports the loss.
    # A filter, because Prefect resets levels when a flow begins.
    logging.getLogger("prefect._internal.concurrency").addFilter(lambda record: False)
    logging.raiseExceptions = False  # `--- Error logging to API ---`, for the same reason


def fitted(text: str, room: int) -> str:
    """As many comma-separated parts of a progress line as there is room for; the last part is dropped first."""
    while len(text) > room and ", " in text:
        text = text.rsplit(", ", 1)[0]
    return text[: max(room, 0)]


def wants_bars() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def _without(part: str, text: str) -> str:
    """`train: 12,000 of ...` under the heading `train` needs no `train: `."""
    return text.removeprefix(f"{part}: ")


def _erase() -> Any:
    from rich.control import Control
    from rich.segment import ControlType

    return Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
