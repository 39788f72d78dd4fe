"""`python -m flows.service.runner CRON`: execute the runs of this checkout's deployments, each in its own process.

`flows.service.serve` keeps it running. Its deployments are those of prefect.yaml, without a work pool.
"""

import argparse
import asyncio
import contextlib
from typing import Any

from httpx import HTTPError
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from flows.retrain import retrain
from flows.service import data_arrival, schedule
from flows.service.deployments import promote, rollback

AT_ONCE = 16
"""Largest number of concurrent runs. All but one end as Skipped."""
POLL_SECONDS = 3.0


def flows() -> list[Flow[Any, Any]]:
    """The flows with a deployment; each deployment is named after its flow."""
    return [retrain, promote, rollback]


async def run(cron: str) -> None:
    """Register the deployments and execute their runs until SIGTERM."""
    runner = Runner(name="ddpm", limit=AT_ONCE, query_seconds=POLL_SECONDS, pause_on_shutdown=False)
    await record(runner, cron)
    await runner.start()


async def record(runner: Runner, cron: str) -> None:
    """Register the deployments, and resume those that the service paused (`flows.service.schedule`)."""
    notes = schedule.ServiceNotes.read()
    for each in flows():
        with get_client(sync_client=True) as client:
            found = schedule.find_deployment(client, each.name)
            triggers = data_arrival.triggers(client, found) if each is retrain else None
        deployment = each.to_deployment(
            name=each.name,
            description=each.description,
            schedules=schedule.schedules(found, cron, notes) if each is retrain else None,
            triggers=triggers,
            paused=schedule.stays_paused(found, notes),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        await runner.aadd_deployment(await deployment if asyncio.iscoroutine(deployment) else deployment)
    schedule.ServiceNotes(cron).write()


def pause() -> None:
    """Pause the deployments as the service stops; a server that does not answer schedules no runs anyway."""
    with contextlib.suppress(HTTPError, PrefectHTTPStatusError), get_client(sync_client=True) as client:
        schedule.pause(client, [each.name for each in flows()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m flows.service.runner", description=__doc__)
    parser.add_argument("cron", metavar="CRON", help="when to retrain, UTC")
    chosen = parser.parse_args()
    try:
        asyncio.run(run(chosen.cron))
    finally:
        pause()
