"""Retraining on a schedule: `python -m flows.retrain` serves it, `--once` runs it now.

A run in which data, parameters, code and installed versions are those of the last finished one ends in seconds. One in
which the data differ from the champion's by more than prepare.max_drift stops before training, for a person to look.
"""

import argparse

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from ddpm import params
from flows import changes, console, notify, server
from flows.pipeline import pipeline
from flows.summary import Report


@flow(
    name="retrain",
    flow_run_name="retrain",
    persist_result=False,
    on_failure=[notify.ended],
    on_crashed=[notify.ended],
)
def retrain(force: bool = False, accept_drift: bool = False) -> Report | State[None]:
    """Run the pipeline if anything has changed since it last finished, or if it is forced to.

    accept_drift: a person has looked at the data; train on them however far they are from the champion's.
    """
    if not force and changes.unchanged():
        text = "data, parameters and code are those of the last finished run"
        console.reporter.ended("retrain", "Skipped", text)
        return Completed(name="Skipped", message=text)
    return pipeline.fn(stop_on_drift=not accept_drift)


def main() -> None:
    """Serve the flow on its schedule until Ctrl-C, or run it once."""
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description=__doc__)
    parser.add_argument("--once", action="store_true", help="run now, and end")
    parser.add_argument("--force", action="store_true", help="with --once: run even if nothing has changed")
    parser.add_argument(
        "--accept-drift", action="store_true", help="with --once: train however far the data are from the champion's"
    )
    parser.add_argument("--cron", help="when to run, in cron's form (default: flow.cron in params.yaml)")
    chosen = parser.parse_args()
    if chosen.once:
        from flows.__main__ import guarded

        guarded(lambda: retrain(force=chosen.force, accept_drift=chosen.accept_drift))
        return
    serve(chosen.cron or params.load().flow.cron)


def serve(cron: str) -> None:
    """Run on the schedule until Ctrl-C. A run that is due while another is at work is cancelled, not queued."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy

    prefect = server.connect()
    with server.announced(prefect):
        prefect.wait()
        print(f"retrain: scheduled at {cron!r} (UTC); runs and logs at {prefect.page}; Ctrl-C ends it", flush=True)
        retrain.serve(
            name="retrain",
            cron=cron,
            global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
            print_starting_message=False,
        )


if __name__ == "__main__":
    main()
