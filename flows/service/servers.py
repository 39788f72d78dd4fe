"""Prefect's and MLflow's servers: found where they run, else started here and kept running.

A server that another command of this checkout started is used, and taken over if that command ends. Each address is
bound before it is announced, and stays bound while its server restarts, so that nothing else can listen there.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from ddpm.common import terminal
from flows.service import access, guard, prefect_server, server_process
from flows.service.access import MLFLOW, PREFECT, Exposure, Record
from flows.service.supervise import Member

PATIENCE = 600.0
"""Seconds the servers may take to answer; on a busy machine, a first start takes two minutes."""
PATIENCE_WITH_STRANGERS = 60.0
"""Seconds that another command's server has to release its port before the port counts as taken."""


@dataclass
class Pages:
    """The addresses of both pages, and the processes to keep running (none if the environment names a server)."""

    prefect: prefect_server.Server
    mlflow: str
    mlflow_record: Record | None
    members: list[Member]
    deadline: float = field(default_factory=lambda: time.monotonic() + PATIENCE)

    def answer(self) -> bool:
        """Whether both answer. Raises ServerError after PATIENCE."""
        if self.prefect.answers() and self._mlflow_answers():
            return True
        if time.monotonic() > self.deadline:
            logs = ", ".join(str(each.log_file) for each in self.members) or "none, they are not of this checkout"
            raise prefect_server.ServerError(
                f"Prefect at {self.prefect.page} and MLflow at {self.mlflow} do not both answer. Logs: {logs}"
            )
        return False

    def _mlflow_answers(self) -> bool:
        return self.mlflow_record.proven(MLFLOW) if self.mlflow_record else prefect_server.healthy(self.mlflow)

    def show(self) -> None:
        """Print the addresses and how to sign in: links with the secret on a terminal, else the file of the secret."""
        terminal.echo(f"  Prefect  {self.prefect.page}   flow runs, states, logs, artifacts")
        terminal.echo(f"  MLflow   {self.mlflow}   trainings, metrics, pictures, registered versions")
        records = [each for each in (self.prefect.record, self.mlflow_record) if each and each.auth]
        if records and access.chosen():
            terminal.echo("  Sign in  once in each browser, with PREFECT_SERVER_API_AUTH_STRING")
        elif records and sys.stdout.isatty():
            terminal.echo("  Sign in  once in each browser, by these links:")
            for each in records:
                terminal.reveal(f"           {access.link(each)}")
        elif records:
            terminal.echo(f"  Sign in  once in each browser, with the line of {access.secret_file()}")


@contextlib.contextmanager
def pages(mlflow_port: int, prefect_port: int, exposure: Exposure, command: str) -> Iterator[Pages]:
    """Find or start both servers, for `supervise.keep`, and set `PREFECT_API_URL`; other commands find them too.

    command: of `ddpm`, for messages. Raises ServerError when a port is taken.
    """
    members = []
    named = os.environ.get("PREFECT_API_URL")
    with contextlib.ExitStack() as held:
        prefect = prefect_server.find()
        if prefect is None or (prefect.record and not named):
            place = Place(exposure.host, prefect_port, f"ddpm {command} --prefect-port {prefect_port + 1}")
            record = _settled(place, prefect.record if prefect else None, access.secret())
            prefect = prefect_server.Server(f"{record.url}/api", record)
            members.append(_prefect(record, held.enter_context(place), exposure))
            held.callback(record.forget, prefect_server.record_file())
        prefect.use()
        mlflow, found, own = _mlflow_address()
        if own:
            place = Place(exposure.host, mlflow_port, f"ddpm {command} --mlflow-port {mlflow_port + 1}")
            found = _settled(place, found, access.secret() if exposure.local else "")
            mlflow = found.url
            members.append(_mlflow(found, held.enter_context(place), exposure))
            held.callback(found.forget, _record_file())
        yield Pages(prefect, mlflow, found, members)


class Place:
    """The address of a server, bound from `take` to the end of the block."""

    def __init__(self, host: str, port: int, remedy: str) -> None:
        self.host, self.port, self.remedy = host, port, remedy
        self.listening: socket.socket | None = None

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *error: object) -> None:
        if self.listening:
            self.listening.close()

    def take(self) -> socket.socket | None:
        """Bind the address; None if another process has it."""
        self.listening = self.listening or prefect_server.listen(self.host, self.port)
        return self.listening

    def require(self) -> socket.socket:
        """Bind the address. Raises ServerError if another process has it."""
        listening = self.take()
        if listening is None:
            raise prefect_server.ServerError(f"port {self.port} of {self.host} is taken. Try: {self.remedy}")
        return listening


def _settled(place: Place, found: Record | None, auth: str) -> Record:
    """The record of a server this process runs: a server that was found keeps its address, key and secret."""
    if found is None:
        return prefect_server.new_record(prefect_server.address(place.host, place.require()), auth)
    parts = urlsplit(found.url)
    place.host, place.port = parts.hostname or place.host, parts.port or place.port
    return replace(found, pid=os.getpid())


def _member(
    name: str, place: Place, record: Record, log_file: Path, start: Callable[[socket.socket], "subprocess.Popen[str]"]
) -> Member:
    """A server to keep running, or to take over when the command that runs it ends."""
    lost = 0.0

    def ready() -> bool:
        nonlocal lost
        if place.take():
            return True
        lost = 0.0 if record.proven(name) else lost or time.monotonic()
        if lost and time.monotonic() - lost > PATIENCE_WITH_STRANGERS:
            place.require()
        return False

    def started() -> "subprocess.Popen[str]":
        return start(place.require())

    return Member({PREFECT: "Prefect's server", MLFLOW: "MLflow's server"}[name], started, log_file, ready)


def _prefect(record: Record, place: Place, exposure: Exposure) -> Member:
    """Prefect's server, at an address that stays the same."""

    def start(listening: socket.socket) -> "subprocess.Popen[str]":
        record.write(prefect_server.record_file())
        return prefect_server.launch(record, listening, exposure.prefect())

    return _member(PREFECT, place, record, prefect_server.log_file(), start)


def _mlflow_address() -> tuple[str, Record | None, bool]:
    """MLflow's page where it is known, its record where it runs here, and whether it is of this checkout."""
    from ddpm import tracking

    uri = tracking.tracking_uri()
    if uri.startswith("http"):
        return tracking.shown(uri), None, False
    record = access.read(_record_file())
    return "", record if record and record.proven(MLFLOW) else None, True


def _mlflow(record: Record, place: Place, exposure: Exposure) -> Member:
    """MLflow's server over the embedded database."""
    from ddpm.tracking import page, store

    log_file = store.EMBEDDED / "server.log"
    address = urlsplit(record.url).netloc
    gate = guard.Gate(MLFLOW, address, record.key, record.auth, cookie=exposure.local)

    def start(listening: socket.socket) -> "subprocess.Popen[str]":
        store.client()  # creates the database
        record.write(_record_file())
        variables = page.environment(address) | exposure.mlflow()
        return server_process.launch(exposure.mlflow_application, gate, listening, log_file, variables)

    return _member(MLFLOW, place, record, log_file, start)


def _record_file() -> Path:
    """The file that names MLflow's server while it runs."""
    from ddpm.tracking import store

    return store.EMBEDDED / "server.json"
