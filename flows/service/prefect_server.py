"""The Prefect server that a flow uses: the one that `PREFECT_API_URL` names, one of this checkout, or its own.

A flow's own server ends with the flow; its database is one SQLite file under `.state/prefect`. It starts before Prefect
is imported, so that both take their seconds at the same time. A server of this checkout must prove its identity
(`flows.service.access`), because another one may have taken its address.
"""

import atexit
import contextlib
import errno
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ddpm.common.redact import shown
from flows.service import access, guard, server_process
from flows.service.access import HOST, PREFECT, Record

PORT = 4200
PATIENCE = 120.0
"""Seconds a server may take to answer; on a busy machine, its first start takes half a minute."""
APPLICATION = "prefect.server.api.server:create_app()"


class ServerError(RuntimeError):
    """The Prefect server cannot be reached or started; the message says what to do."""


@dataclass
class Server:
    """A Prefect server.

    record: proves that it belongs to this checkout; None if the environment names it. own: its process, if this process
    must stop it.
    """

    url: str
    record: Record | None = None
    own: subprocess.Popen[str] | None = None
    log_file: Path | None = None

    @property
    def page(self) -> str:
        """The address of its web page."""
        return shown(self.url.removesuffix("/api"))

    @property
    def sign_in(self) -> str:
        """The address that signs a browser in to its web page. It contains the secret."""
        return access.link(self.record) if self.record else self.page

    def answers(self) -> bool:
        """Whether it answers, and is the expected server."""
        return self.record.proven(PREFECT) if self.record else healthy(self.url)

    def use(self) -> None:
        """Use it in this process, whether or not Prefect is imported, and in the processes it starts."""
        os.environ["PREFECT_API_URL"] = self.url
        if self.record:
            os.environ["PREFECT_API_AUTH_STRING"] = self.record.auth
        if "prefect.context" in sys.modules:  # Prefect has read its settings already
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()

    def wait(self) -> None:
        """Wait until it answers. Raises ServerError."""
        deadline = time.monotonic() + (PATIENCE if self.own else 5)
        while not self.answers():
            if self.own and self.own.poll() is not None:
                raise ServerError(f"The Prefect server exited while starting. Its log: {self.log_file}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The Prefect server at {shown(self.url)} does not answer. "
                    + (
                        f"Its log: {self.log_file}"
                        if self.own
                        else "Start it, or unset PREFECT_API_URL to start one with each run."
                    )
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server if this process started it."""
        if self.own:
            self.own.terminate()
            try:
                self.own.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.own.kill()
                self.own.wait()


def connect(port: int = PORT) -> Server:
    """Find or start a server, and set `PREFECT_API_URL`. It may not answer yet: `wait` for it.

    Best called before Prefect is imported: the server then stops after Prefect's threads, which send their last logs
    and events when the interpreter exits.
    """
    server = find() or start(port)
    server.use()
    atexit.register(server.stop)
    return server


def find() -> Server | None:
    """The server that the environment names, or the one that `ddpm ui` or `ddpm serve` runs here."""
    named, record = os.environ.get("PREFECT_API_URL"), access.read(record_file())
    ours = record and f"{record.url}/api"
    if named and (named.rstrip("/") != ours or os.environ.get("PREFECT_API_AUTH_STRING")):
        return Server(named)
    if record and record.proven(PREFECT):
        return Server(f"{record.url}/api", record)
    return Server(named) if named else None


def start(port: int) -> Server:
    """Start a server on 127.0.0.1, at `port` or, if that is taken, at a free one. It may not answer yet."""
    listening = listen(HOST, port) or listen(HOST, 0)
    if listening is None:
        raise ServerError(f"{HOST} has no free port for a Prefect server")
    with listening:
        record = new_record(address(HOST, listening), access.secret())
        return Server(f"{record.url}/api", record, launch(record, listening), log_file())


def launch(
    record: Record, listening: socket.socket, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start a server's process on a socket that already listens."""
    log_file().parent.mkdir(parents=True, exist_ok=True)
    place = record.url.removeprefix("http://")
    host, _, port = place.rpartition(":")
    variables = {
        "PREFECT_API_URL": f"{record.url}/api",
        "PREFECT_UI_API_URL": f"{record.url}/api",
        "PREFECT_SERVER_API_HOST": host,
        "PREFECT_SERVER_API_PORT": port,
        "PREFECT_SERVER_API_AUTH_STRING": record.auth,
        "PREFECT_API_AUTH_STRING": record.auth,  # the server's own services ask its API
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": record.url,
        "PREFECT__SERVER_FINAL": "1",
    } | dict(environment or {})
    gate = guard.Gate(PREFECT, place, record.key, record.auth, cookie=False)
    return server_process.launch(APPLICATION, gate, listening, log_file(), variables)


def new_record(place: str, auth: str) -> Record:
    """The record of a server that this process starts at `place` (host:port)."""
    return Record(f"http://{place}", auth, secrets.token_hex(32), os.getpid())


def healthy(url: str) -> bool:
    """Whether any Prefect server answers there, through the environment's proxy if there is one."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310 - http(s), as named
        return bool(answer.status == 200)
    return False


def listen(host: str, port: int) -> socket.socket | None:
    """Listen at this address (port 0: any free port); None if the port is taken.

    Raises ServerError if the address is not one of this machine, or this user may not use the port.
    """
    try:
        return socket.create_server((host, port), backlog=512)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return None
        reason = getattr(error, "strerror", None) or error
        raise ServerError(f"cannot listen at port {port} of {host}: {reason}") from error


def address(host: str, listening: socket.socket) -> str:
    """Host and port, as in a URL."""
    return f"{host}:{listening.getsockname()[1]}"


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def record_file() -> Path:
    """The file with the record of a long-running server, while it runs."""
    return Path(os.environ["PREFECT_HOME"]) / "server.json"


def log_file() -> Path:
    """The log of the Prefect servers of this checkout."""
    return Path(os.environ["PREFECT_HOME"]) / "server.log"
