"""The Prefect server a flow talks to: the one that `PREFECT_API_URL` names, one of this checkout, or its own.

An own server is a process that ends with the flow; its database is one SQLite file under `.state/prefect`. It is
started before Prefect is imported, so that both take their seconds at the same time. A server of this checkout has to
prove that it is (`flows.service.access`): another one may listen at its address by now.
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
from flows.service import access, guard, guarded
from flows.service.access import HOST, PREFECT, Record

PORT = 4200
PATIENCE = 120.0
"""Seconds that a server may take to answer; on a busy machine its first start creates the database in half a minute."""
APPLICATION = "prefect.server.api.server:create_app()"


class ServerError(RuntimeError):
    """The Prefect server cannot be reached or started; the message says what to do."""


@dataclass
class Server:
    """A Prefect server. record: what proves that it is of this checkout; None where the environment names it.

    own: its process, if this process is to stop it.
    """

    url: str
    record: Record | None = None
    own: subprocess.Popen[str] | None = None
    log: Path | None = None

    @property
    def page(self) -> str:
        """The address of its web page."""
        return shown(self.url.removesuffix("/api"))

    @property
    def sign_in(self) -> str:
        """The address that opens its web page in a browser that does not know the secret yet. It holds the secret."""
        return access.link(self.record) if self.record else self.page

    def answers(self) -> bool:
        """Whether it answers, and is the server that it is taken for."""
        return self.record.proven(PREFECT) if self.record else healthy(self.url)

    def use(self) -> None:
        """Make it the server of this process, whether or not it has imported Prefect, and of those that it starts."""
        os.environ["PREFECT_API_URL"] = self.url
        if self.record:
            os.environ["PREFECT_API_AUTH_STRING"] = self.record.auth
        if "prefect.context" in sys.modules:  # Prefect has read its settings already
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()

    def wait(self) -> None:
        """Return when it answers. Raises ServerError."""
        deadline = time.monotonic() + (PATIENCE if self.own else 5)
        while not self.answers():
            if self.own and self.own.poll() is not None:
                raise ServerError(f"The Prefect server ended at its start. Its log: {self.log}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The Prefect server at {shown(self.url)} does not answer. "
                    + (f"Its log: {self.log}" if self.own else "Start it, or unset PREFECT_API_URL to use an own one.")
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End the own server; another one is left alone."""
        if self.own:
            self.own.terminate()
            try:
                self.own.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.own.kill()
                self.own.wait()


def connect(port: int = PORT) -> Server:
    """A server, named in `PREFECT_API_URL` at once; it need not answer yet: `wait` for it.

    Best called before Prefect is imported: an own server then ends with this process after Prefect's threads, which
    hand in their last logs and events when the interpreter ends.
    """
    server = find() or start(port)
    server.use()
    atexit.register(server.stop)
    return server


def find() -> Server | None:
    """The server that the environment names, or the one that `ddpm ui` or `ddpm serve` runs here."""
    named, record = os.environ.get("PREFECT_API_URL"), access.read(told())
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
        raise ServerError(f"{HOST} has no port left for a Prefect server")
    with listening:
        record = new_record(address(HOST, listening), access.secret())
        return Server(f"{record.url}/api", record, launch(record, listening), log())


def launch(
    record: Record, listening: socket.socket, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start a server's process at this very address."""
    log().parent.mkdir(parents=True, exist_ok=True)
    place = record.url.removeprefix("http://")
    host, _, port = place.rpartition(":")
    told = {
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
    return guarded.launch(APPLICATION, gate, listening, log(), told)


def new_record(place: str, auth: str) -> Record:
    """The record of a server that this process starts at `place`, host and port."""
    return Record(f"http://{place}", auth, secrets.token_hex(32), os.getpid())


def healthy(url: str) -> bool:
    """Whether a Prefect server answers there, whoever's it is; through a proxy where the environment names one."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310 - http(s), as named
        return bool(answer.status == 200)
    return False


def listen(host: str, port: int) -> socket.socket | None:
    """A socket that listens at this address from now on (0: at any free port); None where another one does.

    Raises ServerError when the address is not one of this machine, or this user may not use the port.
    """
    try:
        return socket.create_server((host, port), backlog=512)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return None
        reason = getattr(error, "strerror", None) or error
        raise ServerError(f"cannot listen at port {port} of {host}: {reason}") from error


def address(host: str, listening: socket.socket) -> str:
    """Host and port, as a browser names them."""
    return f"{host}:{listening.getsockname()[1]}"


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def told() -> Path:
    """The file that names a long-running server while it runs."""
    return Path(os.environ["PREFECT_HOME"]) / "server.json"


def log() -> Path:
    """What the servers of this checkout have said."""
    return Path(os.environ["PREFECT_HOME"]) / "server.log"
