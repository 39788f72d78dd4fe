"""Run one flow in this process: with a Prefect server, progress on the terminal, and a summary at the end.

The exit status is 0 whatever the verdict, 1 after a failure, 130 after Ctrl-C, and 143 after SIGTERM.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ddpm.common import faults
from ddpm.config import params
from ddpm.provenance import checkout
from flows import console
from flows.dvc import StageError
from flows.service import prefect_server
from flows.service.watchdog import FAILED, INTERRUPTED, STOPPED, Watchdog

TERMINATED = 143
AGAIN = "Finished stages are kept: when it answers again, run the same command."


def run(flow: Callable[[], object]) -> None:
    """Run a flow with a server and a terminal, print its summary, and exit with a status. Does not return."""
    if console.is_terminal():
        os.environ.setdefault("DDPM_PROGRESS_SECONDS", "1")
    terminal = console.reporter.attach()
    prefect = None
    try:
        checkout.require_own_code()
        faults.require_open_files()
        params.load().require_files()  # before a server starts, which takes seconds
        prefect = prefect_server.connect()
        _run_watched(flow, terminal, prefect)
    except BaseException as error:
        ending = _ending(error)
        if ending is None:
            raise
        terminal.line(ending.part, ending.text, "red" if ending.part == "failed" else "yellow")
        _exit(ending.status, prefect)
    _exit(0, prefect)


@dataclass(frozen=True)
class Ending:
    """The end of a run: a line for the terminal and an exit status."""

    part: str
    text: str
    status: int


def _ending(error: BaseException) -> Ending | None:
    """The ending for an exception; None for a bug, which needs its traceback."""
    module, name = type(error).__module__.partition(".")[0], type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        return Ending("stopped", STOPPED, INTERRUPTED)
    if name == "TerminationSignal":  # Prefect's own, for SIGTERM
        return Ending("stopped", STOPPED, TERMINATED)
    if reason := faults.exhausted(error):
        return Ending("failed", reason, FAILED)
    # Compared by name: importing these packages takes seconds.
    if server := {"httpx": "Prefect's server", "mlflow": "MLflow"}.get(module):
        reason = (str(error) or name).splitlines()[0]
        return Ending("failed", f"{server} could not be used: {reason}. {AGAIN}", FAILED)
    if isinstance(error, ValueError | RuntimeError | OSError):
        return Ending("failed", error.brief if isinstance(error, StageError) else str(error), FAILED)
    return None


def _exit(status: int, prefect: prefect_server.Server | None) -> None:
    """Exit; at once if Prefect's server does not answer, because its client would retry for minutes."""
    if prefect is not None and not prefect.answers():
        prefect.stop()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _run_watched(flow: Callable[[], object], terminal: console.Terminal, prefect: prefect_server.Server) -> None:
    """Import Prefect while its server starts, run the flow under the watchdog, and print its summary."""
    import flows.retrain  # noqa: F401 - takes seconds, as does the start of the server
    from flows import summary

    console.silence_prefect()
    prefect.wait()
    page = prefect.sign_in if terminal.console.is_terminal else prefect.page
    terminal.line("pipeline", f"{'watch it' if prefect.process else 'recorded'} at {page}", "dim")
    with Watchdog(prefect, terminal).watching():
        result = flow()
    if isinstance(result, summary.PipelineResult):
        summary.show(result, terminal.console, prefect="" if prefect.process else prefect.page)
