"""`python -m flows`: one run of the pipeline for a person at a terminal, with a summary at its end."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ddpm.common import faults
from ddpm.config import params
from ddpm.provenance import checkout
from flows import console
from flows.service import prefect_server
from flows.service.watchdog import Watchdog

INTERRUPTED = 130
TERMINATED = 143
STOPPED = "Training has saved its state; the same command goes on from there."
AGAIN = "What was finished is kept: when it answers again, run the same command."


def main() -> None:
    """Run the pipeline; exit status 0 whatever the verdict, 1 when something failed, 130 after Ctrl-C."""

    def work() -> object:
        from flows.pipeline import pipeline

        return pipeline()

    guarded(work)


def guarded(work: Callable[[], object]) -> None:
    """Run a flow with a server and a terminal, show the report it returns, and put what goes wrong into words."""
    if console.wants_bars():
        os.environ.setdefault("DDPM_PROGRESS_SECONDS", "1")
    terminal = console.reporter.attach()
    prefect = None
    try:
        checkout.require_own_code()
        faults.require_open_files()
        params.load().require_files()  # what is wrong there is said at once, not after a server has started
        prefect = prefect_server.connect()
        run(work, terminal, prefect)
    except BaseException as error:
        ending = in_words(error)
        if ending is None:
            raise
        terminal.line(ending.part, ending.text, "red" if ending.part == "failed" else "yellow")
        leave(ending.status, prefect)
    leave(0, prefect)


@dataclass(frozen=True)
class Ending:
    """How a run ended, in words and as an exit status."""

    part: str
    text: str
    status: int


def in_words(error: BaseException) -> Ending | None:
    """The ending behind an exception; None for a defect of this program, which needs its traceback."""
    module, name = type(error).__module__.partition(".")[0], type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        return Ending("stopped", STOPPED, INTERRUPTED)
    if name == "TerminationSignal":  # Prefect's own, for SIGTERM
        return Ending("stopped", STOPPED, TERMINATED)
    if lacking := faults.exhausted(error):
        return Ending("failed", lacking, 1)
    # Told by name, because importing these takes seconds.
    if lost := {"httpx": "Prefect's server", "mlflow": "MLflow"}.get(module):
        reason = (str(error) or name).splitlines()[0]
        return Ending("failed", f"{lost} could not be used: {reason}. {AGAIN}", 1)
    if isinstance(error, ValueError | RuntimeError | OSError):
        return Ending("failed", str(error), 1)
    return None


def leave(status: int, prefect: prefect_server.Server | None) -> None:
    """End the process; at once where Prefect's server is gone, to which its client would talk for minutes."""
    if prefect is not None and not prefect.answers():
        prefect.stop()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def run(work: Callable[[], object], terminal: console.Terminal, prefect: prefect_server.Server) -> None:
    """Import while the server starts, run the flow, and show what came of it."""
    import flows.pipeline  # noqa: F401 - takes its seconds while the server takes its own
    from flows import summary

    console.quieten()
    prefect.wait()
    page = prefect.sign_in if terminal.console.is_terminal else prefect.page
    terminal.line("pipeline", f"{'watch it' if prefect.own else 'recorded'} at {page}", "dim")
    with Watchdog(prefect, terminal).watching():
        report = work()
    if isinstance(report, summary.Report):
        summary.show(report, terminal.console, prefect="" if prefect.own else prefect.page)


if __name__ == "__main__":
    main()
