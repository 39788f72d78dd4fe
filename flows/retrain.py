"""The flow behind `ddpm retrain` and the deployment `retrain`, which the service runs on a schedule and on demand.

It updates the data from their source first. If data, parameters, code and lock file are then those of the last finished
run, or of the champion, it ends in seconds. If the data differ from the champion's by more than prepare.max_drift, it
stops before training so that somebody can look at them. The result is committed to flow.branch and pushed.
"""

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
    """Update the data from their source, and run the pipeline if anything has changed.

    force: run it even if nothing has changed. accept_drift: train however far the data are from the champion's.
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


if __name__ == "__main__":  # as documented before `ddpm retrain`
    import sys

    from ddpm.cli import app

    app(["retrain", *(each for each in sys.argv[1:] if each != "--once")], prog_name="ddpm")
