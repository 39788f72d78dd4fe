"""The workflow: Prefect over the stages of DVC, with MLflow as the record. The only package that imports prefect.

Prefect reads its settings when it is first imported, so this module sets them in the environment before any other
module of the package can import it. It is the only module of the project whose import has a side effect.
"""

import os
from pathlib import Path

from ddpm.common import addresses, environment

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder."""
RUN_LOCK = Path(".state/turn.lock")
"""Held by the run at work in a checkout (`flows.run_lock`)."""

SETTINGS = {
    # Keeps the embedded server apart from other Prefect projects of this user.
    "PREFECT_HOME": str(Path.cwd() / ".state" / "prefect"),
    # File leases: a killed process's slot is freed when its lease ends, even if the server died with it.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # Without an address, Prefect would start a server of its own, without a secret.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # No telemetry, and no request to the internet.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
# Prefect pastes its home into this address by itself, which goes wrong in a folder with `?` in its name.
_database = addresses.sqlite(Path(os.environ["PREFECT_HOME"]) / "prefect.db", "sqlite+aiosqlite")
if "?" in _database:
    os.environ.setdefault("PREFECT_SERVER_DATABASE_CONNECTION_URL", _database)
environment.complete()
