"""The server of a review on 127.0.0.1; it shows the result until a signal arrives."""

import asyncio
import secrets
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ddpm.review import app
from ddpm.review.session import Session

SHUTDOWN_TIMEOUT = 1  # seconds for pending responses


class Protocol(H11Protocol):
    """HTTP/1.1 that closes idle connections before their first request; uvicorn's own time limit begins after it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit."""
        super().connection_made(transport)
        self.loop.call_later(app.TIMEOUT, self._close_silent)

    def _close_silent(self) -> None:
        if self.cycle is None:
            self.transport.close()


class Server(uvicorn.Server):
    """Server of one review. Its port accepts connections at once, so `link` may be shown before `run`.

    on_result: called once, in a separate thread, when the review has been finished; the server keeps running.
    """

    def __init__(self, session: Session, port: int, on_result: Callable[[], None] = lambda: None) -> None:
        self.session, self.token = session, secrets.token_urlsafe(24)
        self.socket = socket.create_server(("127.0.0.1", port))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        review = app.Review(session, self.token, self.cookie, on_result=on_result)
        super().__init__(
            uvicorn.Config(
                review.application(),
                http=Protocol,
                ws="none",
                lifespan="off",
                log_level="error",  # the log of requests would show the course of the review on the terminal
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
            )
        )

    @property
    def link(self) -> str:
        """The address of the page with the token that grants access."""
        return f"http://{self.address}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Name of the token's cookie. It includes the port, since all servers of a host share their cookies."""
        return f"ddpm-review-{self.address.rpartition(':')[2]}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; a signal is re-raised after the server has closed."""
        super().run(sockets or [self.socket])

    def stop(self) -> None:
        """End `run` once pending responses have been sent."""
        self.should_exit = True
