"""The workflow: Prefect over the stages of DVC, with MLflow as the record. The only package that imports prefect.

Prefect reads its settings when it is first imported, so they are put into the environment here, before any module of
this package can import it. This is the one place in the project where importing something does something.
"""

import os
from pathlib import Path

from ddpm.common import addresses, environment

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder."""

SETTINGS = {
    # Everything of the embedded server lies here, apart from the settings of other projects of this person.
    "PREFECT_HOME": str(Path.cwd() / ".state" / "prefect"),
    # A slot held by a process that was killed is freed when its lease ends, even if the server died with it.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # Without an address, Prefect would start a server of its own, which asks nobody for a secret.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # Nobody is told anything, and nothing is asked of the internet.
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
