"""Retraining: `python -m flows.retrain --once` runs it now, `flows.serve` on a schedule and on demand.

A run in which data, parameters, code and installed versions are those of the last finished one ends in seconds. One in
which the data differ from the champion's by more than prepare.max_drift stops before training, for a person to look.
"""

import argparse

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import changes, console, notify, turn
from flows.pipeline import pipeline
from flows.summary import Report


@flow(
    name="retrain",
    flow_run_name="retrain",
    persist_result=False,
    on_failure=[notify.ended],
    on_crashed=[notify.ended],
)
@turn.one_at_a_time
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
    """Run it once."""
    parser = argparse.ArgumentParser(prog="python -m flows.retrain", description=__doc__)
    parser.add_argument("--once", action="store_true", help="run now, and end")
    parser.add_argument("--force", action="store_true", help="run even if nothing has changed")
    parser.add_argument(
        "--accept-drift", action="store_true", help="train however far the data are from the champion's"
    )
    chosen = parser.parse_args()
    if not chosen.once:
        parser.error("say --once to run it now; the service that runs it on a schedule is: make serve")
    from flows.__main__ import guarded

    guarded(lambda: retrain(force=chosen.force, accept_drift=chosen.accept_drift))


if __name__ == "__main__":
    main()
