"""The servers behind the pages, Prefect's and MLflow's: found where they run, else started here and kept running.

What another command of this checkout started is used, and taken over should it end.
"""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ddpm import files, terminal
from flows import process, server
from flows.exposure import Exposure
from flows.supervise import Member

PATIENCE = 600.0
"""Seconds that they may take to answer; on a machine with much else to do, a first start takes two minutes."""


@dataclass
class Pages:
    """Where the pages are, and the processes to keep running for them (none where the environment names a server)."""

    prefect: server.Server
    mlflow: str
    members: list[Member]
    deadline: float = field(default_factory=lambda: time.monotonic() + PATIENCE)

    def answer(self) -> bool:
        """Whether both answer. Raises ServerError when they should have by now."""
        if server.healthy(self.prefect.url) and _answers(self.mlflow):
            return True
        if time.monotonic() > self.deadline:
            logs = ", ".join(str(each.log) for each in self.members) or "none, they are not of this checkout"
            raise server.ServerError(
                f"Prefect at {self.prefect.page} and MLflow at {self.mlflow} do not both answer. Logs: {logs}"
            )
        return False

    def show(self) -> None:
        """Print the addresses."""
        terminal.echo(f"  Prefect  {self.prefect.page}   flow runs, states, logs, artifacts")
        terminal.echo(f"  MLflow   {self.mlflow}   trainings, metrics, pictures, registered versions")


@contextlib.contextmanager
def pages(mlflow_port: int, prefect_port: int, exposure: Exposure, target: str) -> Iterator[Pages]:
    """Both servers, for `supervise.keep`; other commands of this checkout find them. `PREFECT_API_URL` is set.

    target: the make target, for messages. Raises ServerError when a port is taken.
    """
    members = []
    named = os.environ.get("PREFECT_API_URL")
    prefect = server.find()
    if prefect is None:
        _require_free(exposure.host, prefect_port, f"make {target} PREFECT_PORT={prefect_port + 1}")
        prefect = server.Server(f"http://{exposure.host}:{prefect_port}/api")
    if not named:
        members.append(_prefect(prefect.url, exposure))
    os.environ["PREFECT_API_URL"] = prefect.url
    mlflow, own = _mlflow_address(mlflow_port, exposure, target)
    if own:
        members.append(_mlflow(mlflow, exposure))
    try:
        yield Pages(prefect, mlflow, members)
    finally:
        for told, up in ((server.told(), server.healthy), (_told(), _answers)):
            if told.exists() and not up(files.read_json(told)["url"]):
                told.unlink(missing_ok=True)


def _prefect(url: str, exposure: Exposure) -> Member:
    """Prefect's server, at an address that stays the same."""
    port = urlsplit(url).port or server.PORT

    def start() -> "subprocess.Popen[str]":
        files.write_json(server.told(), {"url": url})
        return server.launch(port, exposure.host, exposure.prefect())

    return Member("Prefect's server", start, server.log(), ready=lambda: server.free(port, exposure.host))


def _mlflow_address(port: int, exposure: Exposure, target: str) -> tuple[str, bool]:
    """The address of MLflow's page, and whether it is of this checkout."""
    from ddpm import tracking

    uri = tracking.tracking_uri()
    if uri.startswith("http"):
        return tracking.shown(uri), False
    with contextlib.suppress(FileNotFoundError):
        url = str(files.read_json(_told())["url"])
        if _answers(url):
            return url, True
    _require_free(exposure.host, port, f"make {target} MLFLOW_PORT={port + 1}")
    return f"http://{exposure.host}:{port}", True


def _mlflow(url: str, exposure: Exposure) -> Member:
    """MLflow's server over the embedded database."""
    from ddpm.tracking import store

    port = urlsplit(url).port or 0
    log = store.EMBEDDED / "server.log"

    def start() -> "subprocess.Popen[str]":
        store.client()  # creates the database
        files.write_json(_told(), {"url": url})
        return _launch_mlflow(port, log, exposure)

    return Member("MLflow's server", start, log, ready=lambda: server.free(port, exposure.host))


def _launch_mlflow(port: int, log: Path, exposure: Exposure) -> "subprocess.Popen[str]":
    from ddpm import tracking
    from ddpm.tracking import store

    options = {
        "--host": exposure.host,
        "--port": str(port),
        "--workers": "1",
        "--default-artifact-root": store.artifact_root().as_uri(),
    } | exposure.mlflow_options(port)
    own = str(Path(sys.executable).parent)
    # A database's address may hold its password, and everybody sees command lines. MLflow looks for uvicorn on PATH.
    told = {
        "MLFLOW_BACKEND_STORE_URI": tracking.tracking_uri(),
        "PATH": own + os.pathsep + os.environ.get("PATH", ""),
    }
    command = process.child("mlflow", "server", *(word for pair in options.items() for word in pair))
    return process.launch(command, log, os.environ | exposure.mlflow() | told)


def _answers(address: str) -> bool:
    """Whether MLflow's page answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(f"{address}/health", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def _told() -> Path:
    """The file that names MLflow's server while it runs."""
    from ddpm.tracking import store

    return store.EMBEDDED / "server.json"


def _require_free(host: str, port: int, remedy: str) -> None:
    """Raises ServerError when something listens at the port already."""
    if not server.free(port, host):
        raise server.ServerError(f"port {port} of {host} is taken, or {host} is not of this machine. Try: {remedy}")
