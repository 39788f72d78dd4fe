"""Prefect's and MLflow's servers: find them where they run, else start them here and keep them running.

A server that another command of this checkout started is used, and taken over if that command ends. Each address is
bound before it is shown, and stays bound while its server restarts, so that no other process can listen there.
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
from flows.service.access import MLFLOW, PREFECT, Exposure, ServerRecord
from flows.service.supervise import SupervisedProcess

PATIENCE = 600.0
"""Seconds the servers may take to answer; on a busy machine, a first start takes two minutes."""
PATIENCE_WITH_STRANGERS = 60.0
"""Seconds that another command's server has to release its port before the port counts as taken."""


@dataclass
class Servers:
    """Addresses and records of both servers, and the processes to keep running (none if the environment names them)."""

    prefect: prefect_server.Server
    mlflow: str
    mlflow_record: ServerRecord | None
    processes: list[SupervisedProcess]
    deadline: float = field(default_factory=lambda: time.monotonic() + PATIENCE)

    def answer(self) -> bool:
        """Return True if both answer. Raises ServerError after PATIENCE."""
        if self.prefect.answers() and self._mlflow_answers():
            return True
        if time.monotonic() > self.deadline:
            logs = (
                ", ".join(str(each.log_file) for each in self.processes) or "none, because this checkout runs neither"
            )
            raise prefect_server.ServerError(
                f"Prefect at {self.prefect.page} and MLflow at {self.mlflow} do not both answer. Logs: {logs}"
            )
        return False

    def _mlflow_answers(self) -> bool:
        return self.mlflow_record.is_genuine(MLFLOW) if self.mlflow_record else prefect_server.healthy(self.mlflow)

    def show(self) -> None:
        """Print the addresses and how to sign in: links with the secret on a terminal, else the file of the secret."""
        terminal.echo(f"  Prefect  {self.prefect.page}   flow runs, states, logs, artifacts")
        terminal.echo(f"  MLflow   {self.mlflow}   trainings, metrics, pictures, registered versions")
        records = [each for each in (self.prefect.record, self.mlflow_record) if each and each.auth]
        if records and access.secret_from_environment():
            terminal.echo("  Sign in  once in each browser, with PREFECT_SERVER_API_AUTH_STRING")
        elif records and sys.stdout.isatty():
            terminal.echo("  Sign in  once in each browser, by these links:")
            for each in records:
                terminal.reveal(f"           {access.sign_in_link(each)}")
        elif records:
            terminal.echo(f"  Sign in  once in each browser, with the line of {access.secret_file()}")


@contextlib.contextmanager
def find_or_start(mlflow_port: int, prefect_port: int, exposure: Exposure, command: str) -> Iterator[Servers]:
    """Find or prepare both servers, and set `PREFECT_API_URL`; `supervise.keep_running` starts the prepared ones.

    Other commands of this checkout find them during the block. command: the verb of `ddpm`, for messages. Raises
    ServerError if a port is taken.
    """
    processes = []
    named = os.environ.get("PREFECT_API_URL")
    with contextlib.ExitStack() as held:
        prefect = prefect_server.find()
        if prefect is None or (prefect.record and not named):
            address = BoundAddress(exposure.host, prefect_port, f"ddpm {command} --prefect-port {prefect_port + 1}")
            record = _claim(address, prefect.record if prefect else None, access.secret())
            prefect = prefect_server.Server(f"{record.url}/api", record)
            processes.append(_prefect_process(record, held.enter_context(address), exposure))
            held.callback(record.remove, prefect_server.record_file())
        prefect.use()
        mlflow, found, own = _mlflow_address()
        if own:
            address = BoundAddress(exposure.host, mlflow_port, f"ddpm {command} --mlflow-port {mlflow_port + 1}")
            found = _claim(address, found, access.secret() if exposure.local else "")
            mlflow = found.url
            processes.append(_mlflow_process(found, held.enter_context(address), exposure))
            held.callback(found.remove, _record_file())
        yield Servers(prefect, mlflow, found, processes)


class BoundAddress:
    """The address of a server, bound from `bind` to the end of the block. remedy: a command that uses another."""

    def __init__(self, host: str, port: int, remedy: str) -> None:
        self.host, self.port, self.remedy = host, port, remedy
        self.listening: socket.socket | None = None

    def __enter__(self) -> "BoundAddress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.listening:
            self.listening.close()

    def bind(self) -> socket.socket | None:
        """Bind the address; None if another process has bound it."""
        self.listening = self.listening or prefect_server.listen(self.host, self.port)
        return self.listening

    def require(self) -> socket.socket:
        """Bind the address. Raises ServerError if another process has bound it."""
        listening = self.bind()
        if listening is None:
            raise prefect_server.ServerError(f"port {self.port} of {self.host} is taken. Try: {self.remedy}")
        return listening


def _claim(address: BoundAddress, found: ServerRecord | None, auth: str) -> ServerRecord:
    """The record of a server that this process is to run; one that was found keeps its address, key and secret."""
    if found is None:
        return prefect_server.new_record(prefect_server.address(address.host, address.require()), auth)
    parts = urlsplit(found.url)
    address.host, address.port = parts.hostname or address.host, parts.port or address.port
    return replace(found, pid=os.getpid())


def _supervised(
    name: str,
    address: BoundAddress,
    record: ServerRecord,
    log_file: Path,
    start: Callable[[socket.socket], "subprocess.Popen[str]"],
) -> SupervisedProcess:
    """A server to keep running, or to take over when the command that runs it ends."""
    lost = 0.0

    def ready() -> bool:
        nonlocal lost
        if address.bind():
            return True
        lost = 0.0 if record.is_genuine(name) else lost or time.monotonic()
        if lost and time.monotonic() - lost > PATIENCE_WITH_STRANGERS:
            address.require()
        return False

    title = {PREFECT: "Prefect's server", MLFLOW: "MLflow's server"}[name]
    return SupervisedProcess(title, lambda: start(address.require()), log_file, ready)


def _prefect_process(record: ServerRecord, address: BoundAddress, exposure: Exposure) -> SupervisedProcess:
    """Prefect's server as a supervised process."""

    def start(listening: socket.socket) -> "subprocess.Popen[str]":
        record.write(prefect_server.record_file())
        return prefect_server.launch(record, listening, exposure.prefect())

    return _supervised(PREFECT, address, record, prefect_server.log_file(), start)


def _mlflow_address() -> tuple[str, ServerRecord | None, bool]:
    """MLflow's address if known, its record if it runs here, and whether it belongs to this checkout."""
    from ddpm import tracking

    uri = tracking.tracking_uri()
    if uri.startswith("http"):
        return tracking.redact_text(uri), None, False
    record = access.read(_record_file())
    return "", record if record and record.is_genuine(MLFLOW) else None, True


def _mlflow_process(record: ServerRecord, address: BoundAddress, exposure: Exposure) -> SupervisedProcess:
    """MLflow's server of the embedded database as a supervised process."""
    from ddpm.tracking import page, store

    log_file = store.EMBEDDED / "server.log"
    netloc = urlsplit(record.url).netloc
    config = guard.GuardConfig(MLFLOW, netloc, record.key, record.auth, cookie=exposure.local)

    def start(listening: socket.socket) -> "subprocess.Popen[str]":
        store.client()  # creates the database
        record.write(_record_file())
        variables = page.environment(netloc) | exposure.mlflow()
        return server_process.launch(exposure.mlflow_application, config, listening, log_file, variables)

    return _supervised(MLFLOW, address, record, log_file, start)


def _record_file() -> Path:
    """The file with the record of MLflow's server while it runs."""
    from ddpm.tracking import store

    return store.EMBEDDED / "server.json"
