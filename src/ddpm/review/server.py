"""The page of a review on 127.0.0.1: one image at a time, plain forms, two keys. It never says which is which.

An image is only known by its position, all have equal size in bytes, and nothing is told before the end. Requests that
name another host (DNS rebinding), come from another page (a forged form), or lack the token of the printed link
(another user of the machine) are refused.
"""

import hmac
import re
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from ddpm.review.session import Session, png

LARGEST_BODY = 1024
SECONDS = 30  # that a connection may be silent
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
KINDS = {"review.css": "text/css", "review.js": "text/javascript"}


class RefusedError(Exception):
    """A request that is answered with a status of 4xx, in words."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves one review until `finished`, which is set when the person has seen the result."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, session: Session, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.session, self.lock, self.finished = session, threading.Lock(), threading.Event()
        self.token = secrets.token_urlsafe(24)

    @property
    def link(self) -> str:
        """The address that opens the page; only who has it can use the page."""
        return f"http://{self.hosts[0]}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The cookie that holds the token. Its name has the port, since the servers of a host share their cookies."""
        return f"ddpm-review-{self.server_port}"

    @property
    def hosts(self) -> tuple[str, str]:
        """The names under which a browser of this machine may ask."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no event."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = SECONDS
    server_version, sys_version = "review", ""

    def do_GET(self) -> None:
        """The page, the image that is due, the style, the keys."""
        self._answered(self._get)

    def do_POST(self) -> None:
        """An answer, its withdrawal, or the end."""
        self._answered(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what is asked for would tell the way of the review on the terminal."""

    def _answered(self, work: Any) -> None:
        """Do it; what is refused is said in words."""
        try:
            if self.headers.get("Host") not in self.server.hosts:
                raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, "this page is only served as 127.0.0.1")
            link = (self.command, self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest"))
            if self.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"} and link != (
                "GET", "navigate", "document"
            ):  # fmt: skip
                raise RefusedError(HTTPStatus.FORBIDDEN, "the request is not of this page")
            if self.command == "GET" and self.path.startswith("/?token=") and self._matches(self.path[8:]):
                self._redirect({"Set-Cookie": f"{self.server.cookie}={self.path[8:]}; HttpOnly; SameSite=Lax; Path=/"})
                return
            if not self._matches(self._cookie()):
                raise RefusedError(HTTPStatus.FORBIDDEN, "open the link that `ddpm review` shows on its terminal")
            work()
        except RefusedError as refused:
            self._send(refused.status, f"{refused}\n".encode(), "text/plain; charset=utf-8")

    def _matches(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.server.token.encode())

    def _cookie(self) -> str:
        """The token that the browser kept, or nothing."""
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return ""
        return found.value if found else ""

    def _get(self) -> None:
        with self.server.lock:
            self._shown()

    def _shown(self) -> None:
        session = self.server.session
        if self.path == "/":
            self._page(page(session))
        elif self.path.removeprefix("/") in KINDS:
            name = self.path.removeprefix("/")
            self._send(HTTPStatus.OK, _file(name).encode(), KINDS[name])
        elif re.fullmatch(r"/image/[0-9]{1,6}", self.path):
            if int(self.path.rpartition("/")[2]) != len(session.answers) or session.done:
                raise RefusedError(HTTPStatus.NOT_FOUND, "that image is not due")
            self._send(HTTPStatus.OK, png(session.images[len(session.answers)]), "image/png")
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self) -> None:
        if self.headers.get("Origin", f"http://{self.headers['Host']}") != f"http://{self.headers['Host']}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "the form is not of this page")
        form = self._form()  # before the lock: a slow sender keeps nobody waiting
        with self.server.lock:
            self._changed(form, self.server.session)

    def _changed(self, form: Mapping[str, str], session: Session) -> None:
        try:
            if self.path == "/answer":
                session.answer(*_choice(form))
            elif self.path == "/undo":
                session.undo()
            elif self.path == "/finish":
                session.finish()
            else:
                raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")
        except ValueError as error:
            raise RefusedError(HTTPStatus.CONFLICT, str(error)) from error
        if session.finished:
            self._page(page(session))
            self.server.finished.set()
            return
        self._redirect({})

    def _redirect(self, headers: Mapping[str, str]) -> None:
        """To the page."""
        self.send_response(HTTPStatus.SEE_OTHER)
        for name, value in {"Location": "/", "Content-Length": "0", **HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _form(self) -> Mapping[str, str]:
        """The fields of a small form, each once."""
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length):
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the form has no length")
        if int(length) > LARGEST_BODY:
            self.close_connection = True
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large")
        try:
            fields = parse_qs(self.rfile.read(int(length)).decode("ascii"), max_num_fields=8)
        except ValueError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the form cannot be read") from error
        return {name: values[0] for name, values in fields.items() if len(values) == 1}

    def _page(self, html: str) -> None:
        self._send(HTTPStatus.OK, html.encode(), "text/html; charset=utf-8")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def page(session: Session) -> str:
    """What is to be seen now: an image, the question whether to end, or the result."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    done = session.result() if session.finished else None
    shown = {"position": len(session.answers), "count": len(session.real), "result": done}
    return environment.from_string(_file("review.html.jinja")).render(**shown)


def _choice(form: Mapping[str, str]) -> tuple[int, bool]:
    """Position and answer of a form."""
    position, taken = form.get("position", ""), form.get("real", "")
    if not re.fullmatch(r"[0-9]{1,6}", position) or taken not in {"yes", "no"}:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the form has no position, or no answer")
    return int(position), taken == "yes"


def _file(name: str) -> str:
    return resources.files("ddpm.review").joinpath(name).read_text(encoding="utf-8")
