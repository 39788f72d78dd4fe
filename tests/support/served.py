"""Requests to a served model that must be refused, and a good one: raw, as any program might send them."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"
ROWS = {"dataframe_split": {"columns": ["label"], "data": [[1], [0]]}}
ENVIRONMENT = {"DDPM_SERVE_IMAGES": "200", "DDPM_SERVE_EVALUATIONS": "600", "DDPM_SERVE_VALUES": "10000"}
"""The limits under which `BAD` is bad."""


@dataclass(frozen=True)
class Request:
    """A request to /invocations, the expected status, and the expected text of the response."""

    body: bytes
    said: str = ""
    status: int = 400
    kind: str | None = JSON
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    in_parts: bool = False
    """Sent without saying how long it is."""


def params(**chosen: Any) -> bytes:
    return json.dumps({**ROWS, "params": chosen}).encode()


def labels(*rows: Any) -> bytes:
    return json.dumps({"dataframe_split": {"columns": ["label"], "data": [[row] for row in rows]}}).encode()


BAD = {
    "malformed": Request(b"{not json", "valid JSON"),
    "empty": Request(b"", "valid JSON"),
    "a list": Request(b"[1]", "JSON"),
    "no text": Request(b"\xff\xfe\xff", "valid JSON"),
    "nonsense": Request(b'{"nonsense": 1}', "nonsense|exactly one of the input fields"),
    "params that are none": Request(json.dumps({**ROWS, "params": [1]}).encode(), "params|Parameters must be a dict"),
    "steps in letters": Request(params(steps="many"), "steps"),
    "steps and a half": Request(params(steps=1.5), "steps"),
    "steps null": Request(params(steps=None), ""),
    "steps as a list": Request(params(steps=[1, 2]), "steps"),
    "no step": Request(params(steps=0), "steps = 0"),
    "steps > T": Request(params(steps=5000), "this model has T = 50"),
    "count true": Request(params(count=True), "count"),
    "count below 0": Request(params(count=-1), "count = -1"),
    "too many images": Request(params(count=10**9), "1,000,000,000 images in one request; at most 200 are allowed"),
    "too many rows": Request(labels(*[1] * 201), "201 images in one request; at most 200"),
    "too much work": Request(params(count=150, steps=5), "750 network evaluations; at most 600"),
    "work that only shows on the way": Request(params(count=100, sampler="ode"), "more than 600 network evaluations"),
    "too long an answer": Request(params(count=160, steps=1), "10,240 numbers; at most 10,000"),
    "seed below 0": Request(params(seed=-1), "seed = -1"),
    "an unknown sampler": Request(params(sampler="eular"), "sampler = 'eular' is unknown"),
    "an unknown format": Request(params(format="jpeg"), "format = 'jpeg' is unknown; possible: array, png, grid"),
    "guidance below 0": Request(params(guidance=-1.0), "guidance = -1.0"),
    "guidance NaN": Request(params(guidance=float("nan")), "guidance = nan"),
    "guidance without end": Request(params(guidance=float("inf")), "guidance = inf"),
    "a class that is none": Request(labels(7), "label 7 does not exist"),
    "a label in letters": Request(labels("x"), "label"),
    "a label NaN": Request(labels(float("nan")), "label"),
    "a label too large": Request(labels(10**30), "label"),
    "no data": Request(b'{"dataframe_split": {}}', "data"),
    "ragged": Request(b'{"dataframe_split": {"columns": ["label"], "data": [[1, 2]]}}', "columns"),
    "plain text": Request(params(), "application/json", 415, kind="text/plain"),
    "another encoding": Request(params(), "UTF-8", 415, kind="application/json; charset=latin1"),
    "GET": Request(b"", "Method Not Allowed", 405, method="GET"),
}
"""Refused by MLflow's server and the model alike, wherever it is served."""


def ask(port: int, request: Request) -> tuple[int, str]:
    """Status and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    headers = dict(request.headers) | ({"Content-Type": request.kind} if request.kind else {})
    try:
        body = iter([request.body]) if request.in_parts else request.body
        connection.request(request.method, "/invocations", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
