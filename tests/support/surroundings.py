"""Real faults around a stage: a full disk, a locked database, lost responses."""

import contextlib
import http.client
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

MIB = 2**20
MAKES = ("/runs/create", "/model-versions/create")
"""Requests to MLflow that make something new each time."""
_NO_ROUTE = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
assert len(open("/proc/net/route").readlines()) == 1, "there is a route"
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def without_network() -> list[str] | None:
    """A command in front of Python's arguments that runs Python in a network namespace with the loopback alone.

    None where only root on Linux could make one.
    """
    if not shutil.which("unshare") or subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        return None
    return ["unshare", "--net", sys.executable, "-c", _NO_ROUTE]


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """`folder`, with what it holds, on a file system of its own of `size` bytes."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("only root on Linux can mount a small disk")
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder, aside, dirs_exist_ok=True, symlinks=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        try:
            shutil.copytree(aside, folder, dirs_exist_ok=True, symlinks=True)
            yield
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all room that is left; the file to delete to have it back."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


@contextlib.contextmanager
def held(database: Path) -> Iterator[None]:
    """An SQLite database that nobody else can read or write meanwhile."""
    with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def forgetful(port: int) -> Iterator[tuple[str, list[str]]]:
    """A proxy of the server at `port` that hands on every request, and swallows the first answer of each of MAKES."""
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            real = http.client.HTTPConnection("127.0.0.1", port)
            real.request(self.command, self.path, body, dict(self.headers))
            answer = real.getresponse()
            content = answer.read()
            real.close()
            made = next((each for each in MAKES if self.path.endswith(each)), "")
            if made:
                asked.append(made)
            if made and asked.count(made) == 1:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type") or "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = hand_on  # noqa: N815 - names of the base class

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", asked
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
