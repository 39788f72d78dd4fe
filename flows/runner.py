"""`python -m flows.runner CRON`: takes the runs of this checkout's deployments from Prefect, each into its own process.

`flows.serve` keeps it running; its deployments are those of prefect.yaml without a work pool.
"""

import asyncio
import sys
from typing import Any

from prefect import Flow
from prefect.runner import Runner
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.moves import promote, rollback
from flows.retrain import retrain

AT_ONCE = 16
"""Runs that may have a process at one time. One works; the others say that they were skipped, and end."""
POLL_SECONDS = 3.0


def flows() -> list[Flow[Any, Any]]:
    """The flows that have a deployment, which has the name of its flow."""
    return [retrain, promote, rollback]


async def run(cron: str) -> None:
    """Record the deployments and take their runs until SIGTERM."""
    runner = Runner(name="ddpm", limit=AT_ONCE, query_seconds=POLL_SECONDS)
    await record(runner, cron)
    await runner.start()


async def record(runner: Runner, cron: str) -> None:
    """Record the deployments. A service that stops pauses them, so that no runs pile up: they go on from here."""
    for each in flows():
        deployment = each.to_deployment(
            name=each.name,
            description=each.description,
            schedule=Cron(cron, timezone="UTC") if each is retrain else None,
            paused=False,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        await runner.aadd_deployment(await deployment if asyncio.iscoroutine(deployment) else deployment)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
