"""Schedules and paused deployments across restarts of the service.

A deployment switched off on Prefect's page stays off. A service that stops pauses its deployments, so that runs do not
pile up, and notes which; its next start resumes only these. The schedule of `flow.cron` has a slug of its own; other
schedules were made by users and are left alone.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from ddpm.common import files

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

SLUG = "flow-cron"


@dataclass(frozen=True)
class Noted:
    """The service's notes on its deployments. cron: the last one it set. paused: ids of those it paused."""

    cron: str | None = None
    paused: tuple[str, ...] = ()

    def write(self) -> None:
        """Save it for the next start."""
        files.write_json(_file(), asdict(self))

    @classmethod
    def read(cls) -> "Noted":
        """The notes of the last service, or empty ones."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            found = files.read_json(_file())
            return cls(found["cron"], tuple(found["paused"]))
        return cls()


def known(client: SyncPrefectClient, name: str) -> "DeploymentResponse | None":
    """The deployment of the flow `name`, or None if Prefect has none yet."""
    try:
        return client.read_deployment_by_name(f"{name}/{name}")
    except ObjectNotFound:
        return None


def stays_paused(found: "DeploymentResponse | None", noted: Noted) -> bool:
    """Whether it was paused by somebody other than the service."""
    return found is not None and found.paused and str(found.id) not in noted.paused


def schedules(found: "DeploymentResponse | None", cron: str, noted: Noted) -> list[DeploymentScheduleCreate]:
    """The schedules for a deployment: those it has, and ours at `cron` if it is new.

    A schedule changed or removed on the page stays so; a change of `flow.cron` moves ours to the new times.
    """
    at = CronSchedule(cron=cron, timezone="UTC")
    if found is None:
        return [DeploymentScheduleCreate(schedule=at, active=True, slug=SLUG)]
    before = noted.cron is None and len(found.schedules) == 1 and found.schedules[0].slug is None  # without slugs
    wanted = []
    for each in found.schedules:
        ours = before or each.slug == SLUG
        wanted.append(
            DeploymentScheduleCreate(
                schedule=at if ours and cron != noted.cron else each.schedule,
                active=each.active,
                parameters=each.parameters,
                slug=SLUG if ours else each.slug,
            )
        )
    return wanted


def pause(client: SyncPrefectClient, names: Iterable[str]) -> None:
    """Pause the active deployments, noting them first so that the next start resumes them."""
    noted = Noted.read()
    ours = [found for name in names if (found := known(client, name)) and not stays_paused(found, noted)]
    Noted(noted.cron, tuple(str(each.id) for each in ours)).write()
    for each in ours:
        client.pause_deployment(each.id)


def _file() -> Path:
    return Path(os.environ["PREFECT_HOME"]) / "deployments.json"
