"""The flow of `ddpm run`: the stages of DVC, then record, register, judge, promote and report."""

import time

from prefect import flow, get_run_logger

from ddpm.config import params
from flows import dvc, notify, promotion, run_lock, up_to_date
from flows.console import reporter
from flows.summary import PipelineResult
from flows.tasks import artifacts, data_update, drift, report, stage, title


@flow(
    name="pipeline",
    flow_run_name="pipeline",
    persist_result=False,
    validate_parameters=False,
    on_failure=[notify.send_failure],
    on_crashed=[notify.send_failure],
)
@run_lock.one_at_a_time
def pipeline(stop_on_drift: bool = False, commit_result: bool = False) -> PipelineResult:
    """Bring everything up to date: data, stages, record, registered version, champion.

    stop_on_drift: fail before training if the data differ from the champion's by more than flow.max_drift.
    commit_result: commit the files that define the version to the branch flow.branch.
    """
    settings = params.load()
    settings.require_files()
    data_update.recover(reporter.logger("source", get_run_logger()))
    started, before = time.monotonic(), up_to_date.fingerprint()
    stages, drifted = [], None
    for each in dvc.graph():
        stages.append(stage.run_stage(each, settings.flow))
        if each.name == drift.AFTER:
            drifted = drift.check_drift(settings, stop=stop_on_drift)
    up_to_date.require_unedited(before, settings)
    result = promotion.promote(settings, stages, drifted, commit_result=commit_result)
    notify.send_verdict(result)
    result.seconds = time.monotonic() - started
    report.write_page(result, return_state=True).result()
    artifacts.publish(result)
    title.set_result(result)
    up_to_date.record_finished(before)
    return result
