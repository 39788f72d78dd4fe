"""The web pages of a review: one image at a time, plain forms, no hint before the end which image is real.

Images are identified by position only, and all have the same number of bytes. Requests are refused if they name another
host (DNS rebinding), come from another page (forged forms), or lack the link's token (other users of the machine).
"""

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from ddpm.review.session import Session, png

HOSTS = ("127.0.0.1", "localhost")
MAX_BODY = 1024
TIMEOUT = 30.0  # seconds that a request may take to arrive
FOLDER = Path(__file__).parent
STYLE = (FOLDER / "review.css").read_text(encoding="utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; script-src 'self'; form-action 'self'; "
    f"style-src 'sha256-{STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TEMPLATES = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)


@dataclass(frozen=True)
class Review:
    """The web application of one review.

    Endpoints run sequentially on the event loop, so `session` needs no lock. on_result: called once, in a separate
    thread, when the review has been finished.
    """

    session: Session
    token: str
    cookie: str
    on_result: Callable[[], None]

    def application(self) -> Starlette:
        """Build the application: routes, and checks of host, origin and token."""
        routes = [
            Route("/", self.show_page),
            Route("/review.js", show_script),
            Route("/image/{position}", self.show_image),
            Route("/answer", self.answer, methods=["POST"]),
            Route("/undo", self.undo, methods=["POST"]),
            Route("/finish", self.finish, methods=["POST"]),
        ]
        middleware = [
            Middleware(BaseHTTPMiddleware, dispatch=add_headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
            Middleware(BaseHTTPMiddleware, dispatch=check_origin),
            Middleware(BaseHTTPMiddleware, dispatch=self.check_token),
        ]
        return Starlette(routes=routes, middleware=middleware)

    async def check_token(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Exchange the link's token for a cookie, which removes it from the address; refuse requests without either."""
        if request.method == "GET" and request.url.path == "/" and _equal(request.url.query, f"token={self.token}"):
            response = RedirectResponse("/", 303)
            response.set_cookie(self.cookie, self.token, httponly=True, samesite="lax")
            return response
        if not _equal(request.cookies.get(self.cookie, ""), self.token):
            return PlainTextResponse("open the link that `ddpm review` shows on its terminal\n", 403)
        return await call_next(request)

    async def show_page(self, request: Request) -> Response:
        """Show the image to judge, the final confirmation, or the result."""
        if request.url.query:
            raise HTTPException(404)
        return self._page(request)

    async def show_image(self, request: Request) -> Response:
        """Send the image to judge; 404 for any other."""
        position = len(self.session.answers)
        if self.session.done or request.path_params["position"] != str(position):
            raise HTTPException(404, "this is not the image to judge now")
        return Response(png(self.session.images[position]), media_type="image/png")

    async def answer(self, request: Request) -> Response:
        """Record an answer."""
        form = await _form(request)
        position, real = form.get("position", ""), form.get("real", "")
        if not re.fullmatch(r"[0-9]{1,6}", position) or real not in {"yes", "no"}:
            raise HTTPException(400, "the form has no valid position or answer")
        with _conflicts():
            self.session.answer(int(position), real == "yes")
        return RedirectResponse("/", 303)

    async def undo(self, _request: Request) -> Response:
        """Undo the last answer."""
        with _conflicts():
            self.session.undo()
        return RedirectResponse("/", 303)

    async def finish(self, _request: Request) -> Response:
        """Close the review and redirect to its result, which can be reloaded as long as the server runs."""
        finished = self.session.finished
        with _conflicts():
            self.session.finish()
        return RedirectResponse("/", 303, background=None if finished else BackgroundTask(self.on_result))

    def _page(self, request: Request) -> Response:
        shown = {
            "style": STYLE,
            "position": len(self.session.answers),
            "count": len(self.session.real),
            "result": self.session.result() if self.session.finished else None,
        }
        return TEMPLATES.TemplateResponse(request, "review.html.jinja", shown)


async def show_script(_request: Request) -> Response:
    """Send the script of the keyboard shortcuts."""
    return FileResponse(FOLDER / "review.js", media_type="text/javascript")


async def add_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Forbid caching, and embedding in other pages."""
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response


async def check_origin(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Refuse requests from other pages, except links to this one."""
    headers = request.headers
    own = f"http://{headers['host']}"
    link = (request.method, headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    foreign = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
    if headers.get("origin", own) != own or (foreign and link != ("GET", "navigate", "document")):
        return PlainTextResponse("the request is not from this page\n", 403)
    return await call_next(request)


async def _form(request: Request) -> Mapping[str, str]:
    """Parse a small form; return the fields that occur once. Raises HTTPException."""
    body = bytearray()
    try:
        async with asyncio.timeout(TIMEOUT):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise HTTPException(413, "the form is too large")
        fields = parse_qs(body.decode("ascii"), max_num_fields=8)
    except TimeoutError as error:
        raise HTTPException(408, "the form did not arrive in time") from error
    except (ValueError, ClientDisconnect) as error:
        raise HTTPException(400, "the form cannot be read") from error
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


@contextmanager
def _conflicts() -> Iterator[None]:
    """Convert a ValueError of the session to status 409."""
    try:
        yield
    except ValueError as error:
        raise HTTPException(409, str(error)) from error


def _equal(sent: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(sent.encode(), expected.encode())
