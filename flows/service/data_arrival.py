"""The event `ddpm.data-arrived`, upon which an automation of Prefect starts the deployment `retrain`.

Any client of Prefect's API can emit it; `ddpm data arrived` is one.
"""

from typing import TYPE_CHECKING

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import DeploymentEventTrigger, Event, Resource

from ddpm.common import terminal
from flows.service import prefect_server, schedule

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.events import DeploymentTriggerTypes
    from prefect.events.schemas.automations import Automation, TriggerTypes

EVENT = "ddpm.data-arrived"
AUTOMATION = "retrain when data arrive"
RESOURCE = "ddpm.model."
"""Beginning of the ID of the event's resource; the name of the registered model follows."""


def triggers(
    client: SyncPrefectClient, found: "DeploymentResponse | None"
) -> "list[DeploymentTriggerTypes | TriggerTypes]":
    """The trigger of the deployment `retrain`; switched off if it was switched off on Prefect's page.

    found: the deployment, None if Prefect has none yet. Registering a deployment creates its automations anew.
    """
    own = [each for each in _automations(client, found) if each.name == AUTOMATION]
    trigger = DeploymentEventTrigger(
        name=AUTOMATION,
        description=f"Starts retrain upon the event {EVENT}.",
        enabled=all(each.enabled for each in own),
        expect={EVENT},
        match={"prefect.resource.id": f"{RESOURCE}*"},
    )
    return [trigger]


def announce(model: str) -> None:
    """Emit the event on the Prefect server of this checkout. Raises ServerError if none runs or none listens."""
    prefect = prefect_server.find()
    if prefect is None:
        raise prefect_server.ServerError(
            "no Prefect server runs here. Start the service: `ddpm serve`. Or retrain once: `ddpm retrain`"
        )
    prefect.use()
    prefect.wait()
    with get_client(sync_client=True) as client:
        found = schedule.find_deployment(client, "retrain")
        listening = [each for each in _automations(client, found) if EVENT in getattr(each.trigger, "expect", ())]
        if not any(each.enabled for each in listening):
            raise prefect_server.ServerError(
                f"no automation on {prefect.page} starts `retrain` upon {EVENT}. Start `ddpm serve`, or run "
                "`prefect deploy`; an automation that is switched off is under Automations on that page."
            )
        event = Event(
            event=EVENT, resource=Resource({"prefect.resource.id": RESOURCE + model}), payload={"model": model}
        )
        client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()
    terminal.echo(f"sent {EVENT} of {model} to {prefect.page}: an automation starts `retrain`")


def _automations(client: SyncPrefectClient, found: "DeploymentResponse | None") -> "list[Automation]":
    """List the automations of a deployment."""
    return [] if found is None else client.read_resource_related_automations(f"prefect.deployment.{found.id}")
