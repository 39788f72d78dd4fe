"""Retraining: `python -m flows.retrain --once` runs it now, `flows.service.serve` on a schedule and on demand.

The data's source is fetched anew first. If data, parameters, code and lock file are then those of the last finished
run, or of the champion, it ends in seconds. If the data differ from the champion's by more than prepare.max_drift, it
stops before training, for a person to look. What a run made is committed to flow.branch and pushed.
"""

import argparse

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State

from ddpm.config import params
from flows import console, notify, run_lock, up_to_date
from flows.pipeline import pipeline
from flows.summary import Report
from flows.tasks import commit, data_update, stage
from flows.tasks.outcome import finish


@flow(
    name="retrain",
    flow_run_name="retrain",
    persist_result=False,
    on_failure=[notify.ended],
    on_crashed=[notify.ended],
)
@run_lock.one_at_a_time
def retrain(force: bool = False, accept_drift: bool = False) -> Report | State[None]:
    """Fetch the data's source anew, and run the pipeline if anything has changed, or if it is forced to.

    accept_drift: a person has looked at the data; train on them however far they are from the champion's.
    """
    settings = params.load()
    settings.require_files()
    say = console.reporter.sayer("retrain", get_run_logger())
    commit.check(settings.flow.branch)
    data_update.heal(say)
    if data_update.imported():
        update = stage.with_retries(data_update.update, "source", settings.flow)
        update(settings.flow.time_limit, return_state=True).result()
    text = "" if force else up_to_date.nothing(settings.promote.name, say)
    report = None if text else pipeline.fn(stop_on_drift=not accept_drift, keep=True)
    if commit.owes():
        commit.deliver.with_options(name="push", task_run_name="push")(return_state=True).result()
    if report:
        return report
    return finish("retrain", "Skipped", text)


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
