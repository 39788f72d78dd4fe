"""The Prefect server a flow talks to: the one that `PREFECT_API_URL` names, one that runs here already, or its own.

An own server is a process that ends with the flow; its database is one SQLite file under `.state/prefect`. It is
started before Prefect is imported, so that both take their seconds at the same time.
"""

import atexit
import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ddpm.redact import shown
from flows import process

HOST = "127.0.0.1"
PORT = 4200
PATIENCE = 120.0
"""Seconds that a server may take to answer; on a busy machine its first start creates the database in half a minute."""


class ServerError(RuntimeError):
    """The Prefect server cannot be reached or started; the message says what to do."""


@dataclass
class Server:
    """A Prefect server and, if it is this process's own, how to wait for it and stop it."""

    url: str
    own: subprocess.Popen[str] | None = None
    log: Path | None = None

    @property
    def page(self) -> str:
        """The address of its web page."""
        return shown(self.url.removesuffix("/api"))

    def wait(self) -> None:
        """Return when it answers. Raises ServerError."""
        deadline = time.monotonic() + (PATIENCE if self.own else 5)
        while not healthy(self.url):
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

    To be called before Prefect is imported: an own server ends with this process, after Prefect's threads, which hand
    in their last logs and events when the interpreter ends.
    """
    server = find() or start(port)
    os.environ["PREFECT_API_URL"] = server.url
    atexit.register(server.stop)
    return server


def find() -> Server | None:
    """The server that the environment names, or the one that `make ui` or the retraining service runs here."""
    if url := os.environ.get("PREFECT_API_URL"):
        return Server(url)
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        url = json.loads(told().read_text())["url"]
        return Server(url) if healthy(url) else None
    return None


def start(port: int) -> Server:
    """Start a server on 127.0.0.1, at `port` or, if that is taken, at a free one. It may not answer yet."""
    chosen = port if free(port) else free_port()
    return Server(f"http://{HOST}:{chosen}/api", launch(chosen), log())


def launch(port: int, host: str = HOST, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """Start a server's process at this very address."""
    log().parent.mkdir(parents=True, exist_ok=True)
    url = f"http://{host}:{port}/api"
    told = {"PREFECT_API_URL": url, "PREFECT_UI_API_URL": url} | dict(environment or {})
    command = process.child("prefect", "server", "start", "--host", host, "--port", str(port))
    return process.launch(command, log(), os.environ | told)


def healthy(url: str) -> bool:
    """Whether a Prefect server answers there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(f"{url}/health", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen at `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


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
