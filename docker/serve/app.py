"""MLflow's scoring server of MODEL_URI, as the image `serve` runs it (`uvicorn --factory app:guarded`), behind a guard.

The guard adds what MLflow's server lacks: it asks for a token (SERVE_TOKEN), bounds the body of a request (SERVE_BODY,
bytes) and the seconds that it may take to arrive, and refuses unknown parameters, which MLflow would ignore.
"""

import asyncio
import hmac
import json
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OPEN = ("/health", "/ping")
SECONDS_TO_ARRIVE = 30
PATIENCE = 8  # times as much as is allowed is read away before the line is cut
FIELDS = {"dataframe_split", "dataframe_records", "inputs", "instances", "params"}


class RefusedError(Exception):
    """Answered with a status of 4xx, in words."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


class Guard:
    """An ASGI application before another one, which gets whole, small requests of those who know the token."""

    def __init__(self, app: Any, *, token: str, largest: int, params: frozenset[str]) -> None:
        self.app, self.token, self.largest, self.params = app, token, largest, params

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass it on, or answer."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        try:
            headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
            self._known(headers.get("authorization", b""))
            body = await self._body(headers.get("content-length", b"0"), receive)
            if scope["path"] == "/invocations" and scope["method"] == "POST":
                self._understood(headers.get("content-type", b"").partition(b";")[0].strip(), body)
        except RefusedError as refused:
            await _answer(send, refused)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, replayed, send)

    def _known(self, authorization: bytes) -> None:
        """Return True if the caller has the token."""
        if not hmac.compare_digest(authorization, f"Bearer {self.token}".encode()):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "send the server's token in the header `Authorization: Bearer`")

    async def _body(self, length: bytes, receive: Receive) -> bytes:
        """All of a request's body, as long as it is small and comes in time. Too much is read away, within reason, so
        that the caller hears why.
        """
        parts, size, more = [], 0, True
        patience = PATIENCE * self.largest
        try:
            async with asyncio.timeout(SECONDS_TO_ARRIVE):
                while more and max(size, int(length) if length.isdigit() else 0) <= patience:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(HTTPStatus.BAD_REQUEST, "the request broke off")
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size <= self.largest:
                        parts.append(part)
        except TimeoutError as error:
            words = f"the request did not arrive within {SECONDS_TO_ARRIVE} s"
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, words) from error
        if more or size > self.largest:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {self.largest:,} bytes are read")
        return b"".join(parts)

    def _understood(self, kind: bytes, body: bytes) -> None:
        """JSON, and nothing in it that would be ignored."""
        if kind != b"application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json")
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"the request is not valid JSON: {error}") from error
        if not isinstance(request, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the request must be a JSON object")
        params = request.get("params") or {}
        if not isinstance(params, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "params must be a JSON object")
        for what, names, known in (("field", request, FIELDS), ("params", params, self.params)):
            if unknown := sorted(set(names) - known):
                words = f"unknown {what}: {', '.join(unknown)[:200]}; known: {', '.join(sorted(known))}"
                raise RefusedError(HTTPStatus.BAD_REQUEST, words)


async def _answer(send: Send, refused: RefusedError) -> None:
    """In the form of MLflow's own refusals. The connection is closed: more of the body may be on its way."""
    body = json.dumps({"error_code": refused.status.name, "message": str(refused)}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if refused.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def guarded() -> Guard:
    """The server that the environment describes. Raises SystemExit, in words, where something is missing."""
    uri, token = os.environ.get("MODEL_URI"), os.environ.get("SERVE_TOKEN", "")
    if not uri:
        raise SystemExit("error: MODEL_URI is missing; for example models:/ddpm-mnist@champion")
    if len(token) < 16:
        raise SystemExit("error: SERVE_TOKEN is missing or shorter than 16 letters; docker/secrets.sh makes one")
    os.environ.setdefault("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "60")  # which the model then follows, too
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    from mlflow.pyfunc import scoring_server

    model = scoring_server.load_model_with_mlflow_config(uri)
    params = frozenset(each.name for each in model.metadata.get_params_schema().params)
    largest = int(os.environ.get("SERVE_BODY", str(8 * 2**20)))
    return Guard(scoring_server.init(model), token=token, largest=largest, params=params)
