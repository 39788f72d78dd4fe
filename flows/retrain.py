"""Retraining on a schedule: `python -m flows.retrain` serves it, `--once` runs it now.

The data's source is fetched anew first. If data, parameters, code and lock file are then those of the last finished
run, or of the champion, it ends in seconds. If the data differ from the champion's by more than prepare.max_drift, it
stops before training, for a person to look. What a run made is committed to flow.branch and pushed.
"""

import argparse

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from ddpm import params
from flows import branch, changes, console, server, source
from flows.pipeline import again, pipeline
from flows.summary import Report


@flow(name="retrain", flow_run_name="retrain", persist_result=False)
def retrain(force: bool = False, accept_drift: bool = False) -> Report | State[None]:
    """Fetch the data's source anew, and run the pipeline if anything has changed, or if it is forced to.

    accept_drift: a person has looked at the data; train on them however far they are from the champion's.
    """
    settings = params.load()
    say = console.reporter.sayer("retrain", get_run_logger())
    branch.check(settings.flow.branch)
    source.heal(say)
    if source.imported():
        again(source.update, "source", settings.flow)(settings.flow.time_limit, return_state=True).result()
    text = "" if force else changes.nothing(settings.promote.name, say)
    report = None if text else pipeline.fn(stop_on_drift=not accept_drift, keep=True)
    if branch.owes():
        branch.deliver.with_options(name="push", task_run_name="push")(return_state=True).result()
    if report:
        return report
    console.reporter.ended("retrain", "Skipped", text)
    return Completed(name="Skipped", message=text)


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
