"""Requests of a page of another origin to the servers of `make ui`, with real servers and sockets."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.flow_servers import PLANTED, WRITES, Servers, running

EVIL = "https://evil.example"
READS = {
    "prefect": [("POST", "/api/flows/filter"), ("GET", "/api/admin/settings"), ("GET", "/api/health/../admin/version")],
    "mlflow": [
        ("GET", "/ajax-api/2.0/mlflow/experiments/search?max_results=1"), ("POST", "/graphql"),
        ("GET", "/api/2.0/mlflow/experiments/search?max_results=1"), ("GET", "/get-artifact?run_id=x&path=y"),
    ],
}  # fmt: skip
SOCKETS = ("/api/events/in", "/api/events/out", "/api/logs/out")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Iterator[Servers]:
    with running(tmp_path_factory.mktemp("pages"), prefect_home) as found:
        yield found


@pytest.fixture(params=["prefect", "mlflow"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_preflight_of_another_origin_is_refused(servers: Servers, name: str) -> None:
    for origin in (EVIL, "http://127.0.0.1:1", "null"):
        headers = {"Origin": origin, "Access_Control_Request_Method": "PATCH"}
        answer = servers.ask(name, "OPTIONS", WRITES[name], **headers, Access_Control_Request_Headers="content-type")
        assert answer.status == 403
        assert not [each for each in answer.headers if each.lower().startswith("access-control")]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json", ""])
def test_a_simple_request_of_another_origin_changes_nothing(servers: Servers, name: str, kind: str) -> None:
    headers = {"Content_Type": kind} if kind else {}
    for more in ({}, servers.with_secret()):
        assert servers.ask(name, "POST", WRITES[name], PLANTED, Origin=EVIL, **headers, **more).status == 403
    assert servers.ask(name, "POST", WRITES[name], PLANTED, **headers).status == 401
    assert not servers.planted(name)


def test_a_rebound_host_name_is_refused(servers: Servers, name: str) -> None:
    for host in ("evil.example", f"evil.example:{servers.ports[name]}", "localhost:1", "127.0.0.1:1"):
        for method, path in (*READS[name], ("GET", "/"), ("GET", "/health"), ("GET", "/api/health")):
            assert servers.ask(name, method, path, Host=host, **servers.with_secret()).status == 421


def test_without_the_secret_nothing_is_read(servers: Servers, name: str) -> None:
    for method, path in READS[name]:
        assert servers.ask(name, method, path).status == 401, path
        assert servers.ask(name, method, path, Authorization="Basic ZGRwbTp4").status == 401, path


def test_the_page_cannot_be_framed_by_another_origin(servers: Servers, name: str) -> None:
    answer = servers.ask(name, "GET", "/ddpm/sign-in")
    assert "frame-ancestors 'none'" in str(answer.headers["Content-Security-Policy"])
    assert servers.ask(name, "GET", "/", **servers.with_secret()).headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize("path", SOCKETS)
def test_a_socket_needs_the_same_origin_and_the_secret(servers: Servers, path: str) -> None:
    own = f"127.0.0.1:{servers.ports['prefect']}"
    for origin in (EVIL, "null", "http://127.0.0.1:1"):
        with pytest.raises(InvalidStatus):
            connect(f"ws://{own}{path}", origin=origin, subprotocols=["prefect"], proxy=None)
    with pytest.raises(InvalidStatus):
        connect(f"ws://{own}{path}", additional_headers={"Host": "evil.example"}, proxy=None)

    def answered(**message: Any) -> str:
        with connect(f"ws://{own}{path}", origin=f"http://{own}", subprotocols=["prefect"], proxy=None) as wire:
            wire.send(json.dumps(message))
            return str(wire.recv(timeout=60))

    for message in ({"type": "auth", "token": "x"}, {"type": "auth"}, {"type": "filter", "filter": {}}):
        with pytest.raises(ConnectionClosed):
            answered(**message)
    assert "auth_success" in answered(type="auth", token=servers.secret)


def test_a_socket_to_mlflow_is_refused(servers: Servers) -> None:
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{servers.ports['mlflow']}/", origin=EVIL, proxy=None)


def test_the_secret_is_for_this_user_alone(servers: Servers) -> None:
    state = servers.folder / ".state"
    for path in (state / "prefect/secret", state / "prefect/server.json", state / "mlflow/server.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for each in psutil.Process(servers.process.pid).children(recursive=True):
        assert servers.secret not in " ".join(each.cmdline())
    for log in state.rglob("*.log"):
        assert servers.secret.partition(":")[2] not in log.read_text()
