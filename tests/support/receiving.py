"""The receiver's side of notifications: an HTTP server, and the verifier of the documentation."""

import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs" / "notifications.md"
SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMsIDMyIGJ5dGU="
KEY = b"the secret of the tests, 32 byte"


@dataclass(frozen=True)
class Posted:
    """One received request."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Records requests posted to `url`. statuses: of the next responses, one for each request; then 204."""

    def __init__(self) -> None:
        self.posted: queue.Queue[Posted] = queue.Queue()
        self.statuses: list[int] = []
        self.answer_headers: dict[str, str] = {}
        self.silent = threading.Event()
        """Once set, nothing is answered."""
        self.trickle = False
        """Whether the answer's headers come byte by byte, without an end."""
        self.closed = threading.Event()
        self.url = ""

    def next(self) -> dict[str, Any]:
        """The data of the next message, with its type and time, verified as documented."""
        posted = self.posted.get(timeout=120)
        message = verifier()(posted.body, posted.headers, SECRET)
        return {"type": message["type"], "timestamp": message["timestamp"], **message["data"]}

    def empty(self) -> bool:
        """Return True if there are no further messages."""
        return self.posted.empty()


def snippet(word: str) -> str:
    """The block of Python in docs/notifications.md that contains a word."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = (each for each in blocks if word in each)
    return str(found)


def verifier() -> Callable[..., dict[str, Any]]:
    """A new instance of `verify` of docs/notifications.md, which has seen no message."""
    found: dict[str, Any] = {}
    exec(snippet("def verify("), found)
    verify: Callable[..., dict[str, Any]] = found["verify"]
    return verify


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """A server on 127.0.0.1 during the block."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            silent = received.silent.is_set()
            received.posted.put(Posted(self.path, headers, body))
            if silent:
                received.closed.wait()
            elif received.trickle:
                self._trickle()
            else:
                self.send_response(received.statuses.pop(0) if received.statuses else 204)
                for name, value in received.answer_headers.items():
                    self.send_header(name, value)
                self.end_headers()

        def _trickle(self) -> None:
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not received.closed.is_set():
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)

        def log_message(self, *_: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{web.server_port}/hooks/a-token-in-the-address"
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        received.closed.set()
        web.shutdown()
        web.server_close()
        thread.join()
