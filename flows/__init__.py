"""The workflow: Prefect runs the stages of DVC, and MLflow records them. No other package imports prefect.

Prefect reads its settings when it is first imported, so this module sets them in the environment before any other
module of the package can import Prefect. No other module of the project has a side effect when it is imported.
"""

import os
from pathlib import Path

from ddpm.common import addresses, environment

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder."""
RUN_LOCK = Path(".state/turn.lock")
"""Held by the active run of a checkout (`flows.run_lock`)."""

SETTINGS = {
    # Keeps the embedded server apart from other Prefect projects of this user.
    "PREFECT_HOME": str(Path.cwd() / ".state" / "prefect"),
    # With leases in files, a killed process's slot is freed when its lease ends, even if the server died as well.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # Otherwise Prefect, if it has no address, starts its own server, which has no secret.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # No telemetry, and no requests to the internet.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
# Prefect's own default for this address is wrong in a folder with `?` in its name.
_database = addresses.sqlite(Path(os.environ["PREFECT_HOME"]) / "prefect.db", "sqlite+aiosqlite")
if "?" in _database:
    os.environ.setdefault("PREFECT_SERVER_DATABASE_CONNECTION_URL", _database)
environment.complete()
