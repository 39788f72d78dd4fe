"""The Prefect server that a flow uses: the one that `PREFECT_API_URL` names, one of this checkout, or its own.

A flow's own server ends with the flow; its database is one SQLite file under `.state/prefect`. It starts before Prefect
is imported, so that both proceed at the same time. A server of this checkout must prove its identity
(`flows.service.access`), because another process may have taken its address.
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

from ddpm.common.redact import redact_text
from flows import prefect_page
from flows.service import access, guard, server_process
from flows.service.access import HOST, PREFECT, ServerRecord

PORT = 4200
PATIENCE = 600.0
"""Seconds a server may take to answer; on a busy machine, a first start takes two minutes."""
APPLICATION = "prefect.server.api.server:create_app()"


class ServerError(RuntimeError):
    """The Prefect server cannot be reached or started; the message has the remedy."""


@dataclass
class Server:
    """A Prefect server.

    record: proves that it belongs to this checkout; None if the environment names the server. process: set if this
    process has started the server and must stop it.
    """

    url: str
    record: ServerRecord | None = None
    process: subprocess.Popen[str] | None = None
    log_file: Path | None = None

    @property
    def page(self) -> str:
        """The address of its web page."""
        return redact_text(self.url.removesuffix("/api"))

    @property
    def sign_in(self) -> str:
        """The address that signs a browser in to its web page; it contains the secret."""
        return access.sign_in_link(self.record) if self.record else self.page

    def answers(self) -> bool:
        """Return True if it answers, and is the expected server."""
        return self.record.is_genuine(PREFECT) if self.record else healthy(self.url)

    def use(self) -> None:
        """Use it in this process, whether or not Prefect is imported, and in its child processes."""
        os.environ["PREFECT_API_URL"] = self.url
        if self.record:
            os.environ["PREFECT_API_AUTH_STRING"] = self.record.auth
        if "prefect.context" in sys.modules:  # Prefect has read its settings already
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()

    def wait(self) -> None:
        """Wait until it answers. Raises ServerError."""
        deadline = time.monotonic() + (PATIENCE if self.process else 5)
        while not self.answers():
            if self.process and self.process.poll() is not None:
                raise ServerError(f"The Prefect server exited while starting. Its log: {self.log_file}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The Prefect server at {redact_text(self.url)} does not answer. "
                    + (
                        f"Its log: {self.log_file}"
                        if self.process
                        else "Start it, or unset PREFECT_API_URL to start one with each run."
                    )
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server if this process started it."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def connect(port: int = PORT) -> Server:
    """Find or start a server, and set `PREFECT_API_URL`. It may not answer yet: call its `wait`.

    Call it before Prefect is imported: the server then stops after Prefect's threads have sent their last logs and
    events, which they do when the interpreter exits.
    """
    server = find()
    if server is None:
        server = start(port)
        os.environ[prefect_page.ENDS_WITH_RUN] = server.url
    server.use()
    atexit.register(server.stop)
    return server


def find() -> Server | None:
    """The server that the environment names, or that of `ddpm ui` or `ddpm serve` in this checkout; else None."""
    named, record = os.environ.get("PREFECT_API_URL"), access.read(record_file())
    ours = record and f"{record.url}/api"
    if named and (named.rstrip("/") != ours or os.environ.get("PREFECT_API_AUTH_STRING")):
        return Server(named)
    if record and record.is_genuine(PREFECT):
        return Server(f"{record.url}/api", record)
    return Server(named) if named else None


def start(port: int) -> Server:
    """Start a server on 127.0.0.1, at `port` or, if that is taken, at a free port. It may not answer yet."""
    listening = listen(HOST, port) or listen(HOST, 0)
    if listening is None:
        raise ServerError(f"{HOST} has no free port for a Prefect server")
    with listening:
        record = new_record(address(HOST, listening), access.secret())
        return Server(f"{record.url}/api", record, launch(record, listening), log_file())


def launch(
    record: ServerRecord, listening: socket.socket, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start a server's process on a socket that already listens."""
    log_file().parent.mkdir(parents=True, exist_ok=True)
    host_port = record.url.removeprefix("http://")
    host, _, port = host_port.rpartition(":")
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
    config = guard.GuardConfig(PREFECT, host_port, record.key, record.auth, cookie=False)
    return server_process.launch(APPLICATION, config, listening, log_file(), variables)


def new_record(host_port: str, auth: str) -> ServerRecord:
    """The record of a server that this process starts at `host_port` (host:port)."""
    return ServerRecord(f"http://{host_port}", auth, secrets.token_hex(32), os.getpid())


def healthy(url: str) -> bool:
    """Return True if a Prefect server answers there, through the environment's proxy if it sets one."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310 - http(s), as named
        return bool(answer.status == 200)
    return False


def listen(host: str, port: int) -> socket.socket | None:
    """Listen at this address (port 0: any free port); None if the port is taken.

    Raises ServerError if the address does not belong to this machine, or this user may not use the port.
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
