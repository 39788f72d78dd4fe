"""The flow behind `ddpm run`: the stages of DVC, then record, register, judge, promote and report."""

import time

from prefect import flow, get_run_logger

from ddpm.config import params
from flows import dvc, notify, promotion, run_lock, up_to_date
from flows.console import reporter
from flows.summary import Report
from flows.tasks import artifacts, data_update, drift, report, stage


@flow(
    name="pipeline",
    flow_run_name="pipeline",
    persist_result=False,
    validate_parameters=False,
    on_failure=[notify.ended],
    on_crashed=[notify.ended],
)
@run_lock.one_at_a_time
def pipeline(stop_on_drift: bool = False, keep: bool = False) -> Report:
    """Bring everything up to date: data, stages, record, registered version, champion.

    stop_on_drift: end before training when the data differ from the champion's by more than prepare.max_drift.
    keep: commit what shaped the version to the branch flow.branch.
    """
    settings = params.load()
    settings.require_files()
    data_update.heal(reporter.sayer("source", get_run_logger()))
    started, before = time.monotonic(), up_to_date.fingerprint()
    outcomes, drifted = [], None
    for each in dvc.graph():
        outcomes.append(stage.run_stage(each, settings.flow))
        if each.name == drift.AFTER:
            drifted = drift.watch(settings, stop=stop_on_drift)
    up_to_date.require_unedited(before, settings)
    found = promotion.promote(settings, outcomes, drifted, keep=keep)
    notify.judged(found)
    found.seconds = time.monotonic() - started
    report.write_page(found, return_state=True).result()
    artifacts.publish(found)
    up_to_date.finished(before)
    return found
