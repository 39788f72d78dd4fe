"""The receiver's side of notifications: an HTTP server, and the verifier that the documentation gives."""

import contextlib
import queue
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs" / "notifications.md"
SECRET = "correct horse battery staple"


class Receiver:
    """What was posted to `url`, as it came. status: what it answers."""

    def __init__(self) -> None:
        self.posted: queue.Queue[bytes] = queue.Queue()
        self.status = 204
        self.url = ""

    def next(self) -> dict[str, Any]:
        """The next message, verified as the documentation says."""
        message: dict[str, Any] = verifier()(self.posted.get(timeout=120), SECRET)
        return message


def verifier() -> Callable[..., dict[str, Any]]:
    """The function `verify` of docs/notifications.md, fresh: it has seen nothing."""
    recipe = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert recipe
    found: dict[str, Any] = {}
    exec(recipe[1], found)
    verify: Callable[..., dict[str, Any]] = found["verify"]
    return verify


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """A server on 127.0.0.1 for the length of the block."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            received.posted.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(received.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{web.server_port}/hooks/a-token-in-the-address"
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
