"""The deployments of the service: their schedules and pauses, kept across its restarts.

A deployment switched off on Prefect's page stays off. A service that stops pauses its deployments, so that no runs
accumulate, and stores which; its next start resumes only these. The schedule of `flow.cron` has its own slug; all other
schedules belong to users and stay unchanged.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from ddpm.common import files

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

DEPLOYMENTS = ("retrain", "promote", "rollback")
"""Each has the name of its flow."""
SLUG = "flow-cron"


@dataclass(frozen=True)
class ServiceNotes:
    """Notes that a service leaves for the next one. cron: the last one it set. paused: IDs of deployments it paused."""

    cron: str | None = None
    paused: tuple[str, ...] = ()

    def write(self) -> None:
        """Save them for the next start."""
        files.write_json(_file(), asdict(self))

    @classmethod
    def read(cls) -> "ServiceNotes":
        """The notes of the last service, or empty ones."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            found = files.read_json(_file())
            return cls(found["cron"], tuple(found["paused"]))
        return cls()


def find_deployment(client: SyncPrefectClient, name: str) -> "DeploymentResponse | None":
    """The deployment of the flow `name`, or None if Prefect has none yet."""
    try:
        return client.read_deployment_by_name(f"{name}/{name}")
    except ObjectNotFound:
        return None


def deployment_ids() -> list[UUID]:
    """The IDs of DEPLOYMENTS, up to the first that Prefect does not have."""
    ids = []
    with get_client(sync_client=True) as client:
        for name in DEPLOYMENTS:
            found = find_deployment(client, name)
            if found is None:
                break
            ids.append(found.id)
    return ids


def stays_paused(found: "DeploymentResponse | None", notes: ServiceNotes) -> bool:
    """Return True if it was paused by a user, not by the service."""
    return found is not None and found.paused and str(found.id) not in notes.paused


def schedules(found: "DeploymentResponse | None", cron: str, notes: ServiceNotes) -> list[DeploymentScheduleCreate]:
    """The schedules for a deployment: those it has, and ours at `cron` if it is new.

    A schedule changed or removed on the page stays so; a change of `flow.cron` moves ours to the new times.
    """
    at = CronSchedule(cron=cron, timezone="UTC")
    if found is None:
        return [DeploymentScheduleCreate(schedule=at, active=True, slug=SLUG)]
    before_slugs = notes.cron is None and len(found.schedules) == 1 and found.schedules[0].slug is None
    wanted = []
    for each in found.schedules:
        ours = before_slugs or each.slug == SLUG
        wanted.append(
            DeploymentScheduleCreate(
                schedule=at if ours and cron != notes.cron else each.schedule,
                active=each.active,
                parameters=each.parameters,
                slug=SLUG if ours else each.slug,
            )
        )
    return wanted


def describe(cron: str) -> str:
    """Describe when retraining starts. Choices made on Prefect's page take precedence over `cron`.

    A new service may call it before its runner has registered the deployments again.
    """
    asked = "when asked: `ddpm serve --now`"
    with get_client(sync_client=True) as client:
        found = find_deployment(client, "retrain")
    notes = ServiceNotes.read()
    active = [each.schedule for each in schedules(found, cron, notes) if each.active]
    if not active or stays_paused(found, notes):
        return f"the schedule of `retrain` is switched off on Prefect's page and stays off; retraining only {asked}"
    times = [_times(each) for each in active]
    changed = "" if times == [f"{cron!r} (UTC)"] else f", as set on Prefect's page (flow.cron: {cron!r})"
    return f"retraining at {' and '.join(times)}{changed}, and {asked}"


def _times(schedule: object) -> str:
    """The times of a schedule, in cron's form if it has one."""
    cron = getattr(schedule, "cron", None)
    return f"{cron!r} ({getattr(schedule, 'timezone', None) or 'UTC'})" if cron else "custom times"


def pause(client: SyncPrefectClient, names: Iterable[str]) -> None:
    """Pause the active deployments, after storing their IDs for the next start."""
    notes = ServiceNotes.read()
    ours = [found for name in names if (found := find_deployment(client, name)) and not stays_paused(found, notes)]
    ServiceNotes(notes.cron, tuple(str(each.id) for each in ours)).write()
    for each in ours:
        client.pause_deployment(each.id)


def _file() -> Path:
    return Path(os.environ["PREFECT_HOME"]) / "deployments.json"
