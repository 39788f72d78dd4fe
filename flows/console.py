"""A flow's output on the terminal: one line per event, and a progress bar for long work.

Every line also goes to Prefect's page; Prefect's own messages do not go to the terminal.
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
    "Postponed": "yellow",
    "Waiting": "yellow",
    "Rejected": "yellow",
    "Expired": "yellow",
    "Failed": "bold red",
}

OFF_THE_TERMINAL = ("prefect.flow_runs", "prefect.task_runs", "prefect.events", "prefect._internal")

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class Terminal:
    """Writes lines headed by the name of a part (a stage or task); on a terminal, progress lines become a bar."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(highlight=False, soft_wrap=True)
        self.bar = False

    def line(self, part: str, text: str, style: str = "") -> None:
        """Write a line without secrets and control characters. A progress line replaces the previous one."""
        text = terminal.message(text)
        percent = PROGRESS.search(text) if self.console.is_terminal else None
        body = _without_heading(part, text)
        if self.bar:
            self.console.control(_erase())
            self.bar = False
        if percent:
            done = round(BAR * min(int(percent[1]), 100) / 100)
            room = self.console.width - BAR - max(len(part), 10) - 2
            self._write(f"{part:<10}", f"{'━' * done}{'╌' * (BAR - done)} {fitted(body, room)}", "cyan", end="\r")
            self.bar = True
        else:
            self._write(f"{part:<10}", body, style, end="\n")

    def _write(self, part: str, text: str, style: str, end: str) -> None:
        from rich.text import Text

        self.console.print(Text.assemble((part, "bold"), (text, style)), end=end)


class Reporter:
    """Sends lines to Prefect's logger and, if attached, to the terminal."""

    terminal: Terminal | None = None

    def logger(self, part: str, logger: Logger) -> Callable[[str], None]:
        """A function that logs the lines of one part; to Prefect, progress goes every ten seconds only."""
        logged = 0.0

        def log(text: str) -> None:
            nonlocal logged
            text = terminal.message(text)
            if self.terminal:
                self.terminal.line(part, text)
            if PROGRESS.search(text):
                if time.monotonic() - logged < SECONDS_BETWEEN_LOGGED:
                    return
                logged = time.monotonic()
            logger.info("%s", text)

        return log

    def finished(self, part: str, result: str, text: str) -> None:
        """Show the result of a part."""
        if self.terminal:
            joint = " " if text.startswith(("in ", "from ")) else ": "
            self.terminal.line(part, f"{result}{joint if text else ''}{text}", STYLES.get(result, "green"))

    def attach(self) -> Terminal:
        """Send lines to this terminal from now on."""
        self.terminal = Terminal()
        return self.terminal


reporter = Reporter()
"""One per process."""


class Redacting(logging.Filter):
    """Redacts and escapes log records, tracebacks included (`ddpm.common.terminal.message`)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record in place; no record is dropped."""
        record.msg, record.args = terminal.message(record.getMessage()), None
        if record.exc_info and record.exc_info[0]:
            trace = "".join(traceback.format_exception(*record.exc_info))
            record.exc_text = terminal.message(trace.rstrip("\n"))
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs", "ddpm.notify"):
    logging.getLogger(_name).addFilter(Redacting(_name))


def silence_prefect() -> None:
    """Keep Prefect's own lines, except warnings, off the terminal. Call it after Prefect is imported."""
    for name in (None, "prefect"):
        for handler in logging.getLogger(name).handlers:
            if type(handler).__name__ == "PrefectConsoleHandler":
                handler.setLevel(logging.WARNING)
                # Failures are reported at the end; their tracebacks are on Prefect's page.
                handler.addFilter(lambda record: not record.name.startswith(OFF_THE_TERMINAL))
    # It logs every event that an unreachable server did not accept; `flows.service.watchdog` reports the outage.
    # A filter, because Prefect resets levels when a flow begins.
    logging.getLogger("prefect._internal.concurrency").addFilter(lambda record: False)
    logging.raiseExceptions = False  # `--- Error logging to API ---`, for the same reason


def fitted(text: str, room: int) -> str:
    """A progress line cut to `room` characters, whole comma-separated parts from its end first."""
    while len(text) > room and ", " in text:
        text = text.rsplit(", ", 1)[0]
    return text[: max(room, 0)]


def is_terminal() -> bool:
    """Return True if standard output is a terminal."""
    return sys.stdout.isatty()


def _without_heading(part: str, text: str) -> str:
    """The text without the prefix `PART: `, which repeats the heading."""
    return text.removeprefix(f"{part}: ")


def _erase() -> Any:
    from rich.control import Control
    from rich.segment import ControlType

    return Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
