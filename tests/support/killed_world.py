"""A clone whose pipeline uses MLflow and Prefect servers that tests kill."""

import contextlib
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.clones import clone, environment
from tests.support.databases import give_prefect
from tests.support.fault_pipeline import MARK, Flow, Server, write_params
from tests.support.records import free_port


@dataclass
class World:
    """The clone, its servers, and the moments to come."""

    folder: Path
    servers: dict[str, Server]
    environment: dict[str, str]
    moments: random.Random

    def flow(self) -> Flow:
        """Start the pipeline with a mark of its own."""
        return Flow(self.folder, self.environment | {MARK: f"{time.time_ns()}"})


@contextlib.contextmanager
def world_in(home: Path, empty_database: Path, prefect_home: Path) -> Iterator[World]:
    """Make the clone in the folder `home` and start its servers; kill them at the end."""
    folder = clone(home / "clone")
    (home / "tmp").mkdir()
    shutil.copyfile(empty_database, home / "mlflow.db")
    give_prefect(home / "prefect", prefect_home)
    ports = {name: free_port() for name in ("mlflow", "prefect")}
    told = environment(folder) | {
        "TMPDIR": str(home / "tmp"),  # locks of a named MLflow server are there
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{ports['prefect']}/api",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{ports['mlflow']}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # As docs/models.md asks of a team's server: leases in memory die with it, and their slots are never free again.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "DO_NOT_TRACK": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    at = ["--host", "127.0.0.1", "--port"]
    commands = {
        "prefect": ["prefect", "server", "start", *at, str(ports["prefect"])],
        "mlflow": ["mlflow", "server", *at, str(ports["mlflow"]), "--workers", "1",
                   "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}",
                   "--artifacts-destination", str(home / "artifacts")],
    }  # fmt: skip
    healths = {"prefect": "/api/health", "mlflow": "/health"}
    servers = {
        name: Server([sys.executable, "-m", *command], f"http://127.0.0.1:{ports[name]}{healths[name]}",
                     home / f"{name}.log", told)
        for name, command in commands.items()
    }  # fmt: skip
    seed = int(os.environ.get("DDPM_FAULTS_SEED") or time.time_ns() % 10**6)
    print(f"DDPM_FAULTS_SEED={seed}")
    write_params(folder, {"train": {"seed": 1}})
    for server in servers.values():
        server.start()
    try:
        for server in servers.values():
            server.wait()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", told["MLFLOW_TRACKING_URI"])
            patch.setenv("TMPDIR", told["TMPDIR"])
            yield World(folder, servers, told, random.Random(seed))
    finally:
        for server in servers.values():
            server.kill()
