"""The flow of `ddpm retrain` and of the deployment `retrain`, which the service runs on a schedule and on demand.

It updates the data from their source first. If data, parameters, code and lock file are then those of the last finished
run, or of the champion, it ends in seconds. If the data differ from the champion's by more than flow.max_drift, it
fails before training, so that somebody can inspect them. The result is committed to flow.branch and pushed. Candidates
rejected more than flow.rejected_days ago are deleted.
"""

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State

from ddpm.config import params
from flows import console, notify, run_lock, up_to_date
from flows.pipeline import pipeline
from flows.summary import PipelineResult
from flows.tasks import commit, data_update, retention, stage, title
from flows.tasks.outcome import finish


@flow(
    name="retrain",
    flow_run_name="retrain",
    persist_result=False,
    on_failure=[notify.send_failure],
    on_crashed=[notify.send_failure],
)
@run_lock.one_at_a_time
def retrain(force: bool = False, accept_drift: bool = False) -> PipelineResult | State[None]:
    """Update the data from their source, and run the pipeline if anything has changed.

    force: run it even if nothing has changed. accept_drift: train however far the data are from the champion's.
    """
    settings = params.load()
    settings.require_files()
    log = console.reporter.logger("retrain", get_run_logger())
    commit.require_committable(settings.flow.branch)
    data_update.recover(log)
    if data_update.has_source():
        update = stage.with_retries(data_update.update, "source", settings.flow)
        update(settings.flow.time_limit, return_state=True).result()
    reason = "" if force else up_to_date.reason_to_skip(settings.promote.name, log)
    result = None if reason else pipeline.fn(stop_on_drift=not accept_drift, commit_result=True)
    if commit.is_push_pending():
        commit.push_result.with_options(name="push", task_run_name="push")(return_state=True).result()
    if settings.flow.rejected_days is not None:
        retention.prune(settings.promote.name, settings.flow.rejected_days, return_state=True).result()
    if result:
        return result
    title.set_skipped("nothing changed")
    return finish("retrain", "Skipped", reason)


if __name__ == "__main__":  # as documented before `ddpm retrain`
    import sys

    from ddpm.cli import app

    app(["retrain", *(each for each in sys.argv[1:] if each != "--once")], prog_name="ddpm")
