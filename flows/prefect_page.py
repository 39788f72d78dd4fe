"""Addresses of flow runs on Prefect's page."""

import os
from typing import TYPE_CHECKING

from ddpm.common.redact import redact_address

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

ENDS_WITH_RUN = "DDPM_PREFECT_ENDS_WITH_RUN"
"""Variable with the API address of a server that the process of the run started and stops."""


def address(of: "FlowRun | None" = None) -> str | None:
    """Return the address of a flow run on Prefect's page, by default of the current one; None outside of a run."""
    from prefect.runtime import flow_run
    from prefect.settings import get_current_settings

    identifier = of.id if of else flow_run.id
    base = get_current_settings().ui_url or str(get_current_settings().api.url or "").removesuffix("/api")
    return f"{base}/runs/flow-run/{identifier}" if base and identifier else None


def current() -> dict[str, str]:
    """Return the current flow run by title with its address, "" if its server ends with it; empty outside of a run."""
    from prefect.runtime import flow_run

    if not flow_run.id:
        return {}
    from prefect.settings import get_current_settings

    ends = os.environ.get(ENDS_WITH_RUN) == str(get_current_settings().api.url)
    found = "" if ends else redact_address(address() or "")
    return {f"Prefect run {flow_run.id}": found}
