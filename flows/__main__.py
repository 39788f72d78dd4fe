"""`python -m flows`: one run of the pipeline for a person at a terminal, with a summary at its end."""

import os
import sys
from collections.abc import Callable

from ddpm import params
from flows import console, server

INTERRUPTED = 130
TERMINATED = 143
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
    try:
        params.load().require_files()  # what is wrong there is said at once, not after a server has started
        run(work, terminal, server.connect())
    except KeyboardInterrupt:
        terminal.line("stopped", "Training has saved its state; the same command goes on from there.", "yellow")
        sys.exit(INTERRUPTED)
    except (ValueError, RuntimeError, OSError) as error:
        terminal.line("failed", str(error), "red")
        sys.exit(1)
    except BaseException as error:
        # Told by name, because importing these takes seconds.
        lost = {"httpx": "Prefect's server", "mlflow": "MLflow"}.get(type(error).__module__.partition(".")[0])
        if lost:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            terminal.line("failed", f"{lost} could not be used: {reason}. {AGAIN}", "red")
            sys.exit(1)
        if type(error).__name__ != "TerminationSignal":  # Prefect's own, for SIGTERM
            raise
        terminal.line("stopped", "Training has saved its state; the same command goes on from there.", "yellow")
        sys.exit(TERMINATED)


def run(work: Callable[[], object], terminal: console.Terminal, prefect: server.Server) -> None:
    """Import while the server starts, run the flow, and show what came of it."""
    import flows.pipeline  # noqa: F401 - takes its seconds while the server takes its own
    from flows import summary

    console.quieten()
    prefect.wait()
    terminal.line("pipeline", f"{'watch it' if prefect.own else 'recorded'} at {prefect.page}", "dim")
    report = work()
    if isinstance(report, summary.Report):
        summary.show(report, terminal.console, prefect="" if prefect.own else prefect.page)


if __name__ == "__main__":
    main()
