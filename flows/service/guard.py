"""ASGI middleware in front of Prefect's and MLflow's servers: checks Host and Origin, and for MLflow the secret.

Any web page can send requests to this machine, and can make its own host name resolve to 127.0.0.1 (DNS rebinding).
Prefect checks the secret of its API itself; MLflow has none. The guard also proves the server's identity to our own
clients (`proof`).
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER = Path(__file__).parent
PROOF = "/ddpm/proof"
SIGN_IN = "/ddpm/sign-in"
ASSETS = {f"{SIGN_IN}.js": ("sign_in.js", "text/javascript"), f"{SIGN_IN}.css": ("sign_in.css", "text/css")}
PUBLIC = ("/health", "/version")
LARGEST_BODY = 1024
COOKIE_SECONDS = 30 * 24 * 3600
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
ANOTHER_HOST = "this server is not at that address"
ANOTHER_ORIGIN = "this server refuses requests from other pages"


@dataclass(frozen=True)
class GuardConfig:
    """The configuration of one server's guard.

    name: `prefect` or `mlflow`. address: the host and port of its page. key: proves the server's identity. secret: as
    user:password; empty where the server's users have passwords of their own. cookie: whether the guard asks for it at
    every request; if not, only a browser that opens a page is asked to sign in, and the server checks the rest.
    """

    name: str
    address: str
    key: str
    secret: str
    cookie: bool

    @classmethod
    def from_json(cls, text: str) -> "GuardConfig":
        """The configuration from the text of `to_json`."""
        found: dict[str, Any] = json.loads(text)
        return cls(**found)

    def to_json(self) -> str:
        """The configuration as text, for the environment of the server's process."""
        return json.dumps(vars(self))

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the Host header that name this server."""
        host, _, port = self.address.rpartition(":")
        names = {host, "localhost"} if host == "127.0.0.1" else {host}
        return frozenset({f"{each}:{port}" for each in names} | (names if port == "80" else set()))

    @property
    def cookie_value(self) -> str:
        """The value of the cookie. It does not reveal the secret, because browsers send cookies to every port."""
        return _digest(self.secret, f"cookie {self.name} {self.address}")

    @property
    def cookie_name(self) -> str:
        """The name of the cookie; it differs between the servers of one host, which share their cookies."""
        return f"ddpm-{self.name}-{self.address.rpartition(':')[2]}"


def proof(key: str, name: str, address: str, nonce: str) -> str:
    """The answer to `nonce` that only a server with `key` can give; it cannot be relayed from another address."""
    return _digest(key, f"proof {name} {address} {nonce}")


def basic(secret: str) -> str:
    """The Authorization header that carries the secret."""
    return f"Basic {base64.b64encode(secret.encode()).decode()}"


class Guard:
    """The ASGI middleware."""

    def __init__(self, app: ASGIApp, config: GuardConfig) -> None:
        self.app, self.config = app, config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, answer it, or pass it to the application."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if scope["type"] == "websocket":
            if refused or (self.config.cookie and not self._signed_in(HTTPConnection(scope))):
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return
        answer = refused or await self._answer(Request(scope, receive))
        await (answer or self.app)(scope, receive, _with_headers(send))

    def _refused(self, scope: Scope) -> Response | None:
        """The refusal of a request for another host or from another origin; else None."""
        headers = Headers(scope=scope)
        hosts = [each.lower() for each in headers.getlist("host")]
        if len(hosts) != 1 or hosts[0] not in self.config.hosts:
            return PlainTextResponse(ANOTHER_HOST, 421)
        if any(each.lower() != f"http://{hosts[0]}" for each in headers.getlist("origin")):
            return PlainTextResponse(ANOTHER_ORIGIN, 403)
        link = (scope.get("method"), headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and link != (
            "GET", "navigate", "document"
        ):  # fmt: skip
            return PlainTextResponse(ANOTHER_ORIGIN, 403)
        return None

    async def _answer(self, request: Request) -> Response | None:
        """The guard's own answer; None if the request goes to the server."""
        path = request.scope["path"]
        if path == PROOF:
            return self._proof(request)
        if request.method == "GET" and request.headers["host"].lower() != self.config.address and _is_page(request):
            return RedirectResponse(f"http://{self.config.address}{_target(request)}", 307)
        if path.startswith(SIGN_IN):
            return await self._sign_in(request)
        if not self.config.secret or path in PUBLIC or self._signed_in(request):
            return None
        if request.method == "GET" and (_is_page(request) or (path == "/" and self.config.cookie)):
            return RedirectResponse(f"{SIGN_IN}?next={quote(_target(request), safe='')}", 303)
        return PlainTextResponse("sign in first", 401) if self.config.cookie else None

    def _proof(self, request: Request) -> Response:
        nonce = request.query_params.get("nonce", "")
        if request.method != "GET" or not re.fullmatch("[0-9a-f]{32,128}", nonce):
            return PlainTextResponse("the nonce is missing", 400)
        return JSONResponse({"proof": proof(self.config.key, self.config.name, self.config.address, nonce)})

    async def _sign_in(self, request: Request) -> Response:
        """Serve the sign-in page with its script and style, and check the secret."""
        if request.method == "GET" and request.scope["path"] in ASSETS:
            name, kind = ASSETS[request.scope["path"]]
            return Response(_file(name), media_type=kind, headers={"Cache-Control": "no-store"})
        if request.scope["path"] != SIGN_IN or not self.config.secret:
            return PlainTextResponse("not found", 404)
        if request.method == "GET":
            page = _file("sign_in.html").replace("SERVER", self.config.name)
            policy = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"}
            return Response(page, media_type="text/html", headers=policy)
        if request.method != "POST":
            return PlainTextResponse("GET or POST", 405)
        return await self._check_secret(request)

    async def _check_secret(self, request: Request) -> Response:
        """Answer 204 if the secret is right, or if it is missing and the browser is signed in."""
        sent = b""
        async for chunk in request.stream():
            sent += chunk
            if len(sent) > LARGEST_BODY:
                return PlainTextResponse("too long", 413)
        if not hmac.compare_digest(sent, self.config.secret.encode()):
            signed_in = not sent and self._signed_in(request)
            return Response(status_code=204) if signed_in else PlainTextResponse("that is not the secret", 401)
        answer = Response(status_code=204)
        answer.set_cookie(
            self.config.cookie_name,
            self.config.cookie_value,
            COOKIE_SECONDS,
            path="/",
            httponly=True,
            samesite="strict",
        )
        return answer

    def _signed_in(self, request: HTTPConnection) -> bool:
        """Return True if the request carries the secret or a valid cookie."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                sent = base64.b64decode(credentials, validate=True)
            except (binascii.Error, ValueError):
                return False
            return hmac.compare_digest(sent, self.config.secret.encode())
        cookie = request.cookies.get(self.config.cookie_name, "")
        return hmac.compare_digest(cookie.encode(), self.config.cookie_value.encode())


def _is_page(request: Request) -> bool:
    """Return True if the client accepts HTML."""
    return "text/html" in request.headers.get("accept", "")


def _target(request: Request) -> str:
    """Path and query of the request."""
    query = request.scope["query_string"].decode("latin-1")
    path = quote(request.scope["path"], safe="/%:@!$&'()*+,;=~-._")
    return "/" + path.lstrip("/\\") + (f"?{query}" if query else "")


def _with_headers(send: Send) -> Send:
    """Add HEADERS to the answer unless the application sets its own."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", "frame-ancestors 'self'")
        await send(message)

    return sent


def _digest(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
