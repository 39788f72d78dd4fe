"""Addresses: paths inside URLs, and this machine behind a proxy."""

import os
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import httpx
import pytest
import requests
import sqlalchemy

from ddpm.common import addresses

FOLDERS = (
    "plain", "a b", "Müller & Söhne", "#1", "50%", "50%20", "what?", "?a=b&c=d", "it's", 'a "quote"', "a+b", "a;b",
    "a:b", "a\\b", "$HOME", "`id`", "*[x]{y}", "日本", "e\u0301", "-x", "a\tb", "a@b",
)  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_an_sqlite_address_means_the_file_of_its_path(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for driver in ("sqlite", "sqlite+pysqlite"):
        path = folder / f"{driver}.db"
        engine = sqlalchemy.create_engine(addresses.sqlite(path, driver))
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("create table a (b int)"))
        engine.dispose()
        assert path.stat().st_size
    assert sorted(each.name for each in tmp_path.iterdir()) == [name]


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead proxy for everything, and nothing exempt from it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.usefixtures("proxied")
def test_no_client_asks_a_proxy_for_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer, args=(server, 3), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
        addresses.bypass_proxies()
        assert httpx.get(url).text == "ok"
        assert requests.get(url, timeout=10).text == "ok"
        assert urllib.request.urlopen(url, timeout=10).read() == b"ok"
    assert urllib.request.proxy_bypass("localhost")
    assert urllib.request.proxy_bypass("::1")
    assert not urllib.request.proxy_bypass("example.org")


def _answer(server: socket.socket, times: int) -> None:
    for _ in range(times):
        connection, _address = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, None),
        ({"NO_PROXY": "example.org"}, "example.org"),
        ({"http_proxy": "http://p"}, "localhost,127.0.0.1,::1"),
        ({"ALL_PROXY": "http://p", "no_proxy": " .intra , 127.0.0.1"}, ".intra,127.0.0.1,localhost,::1"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "a", "no_proxy": "b"}, "a,b,localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, "*"),
    ],
)
def test_what_was_exempt_from_the_proxy_stays_exempt(before: dict[str, str], after: str | None) -> None:
    environment = dict(before)
    addresses.bypass_proxies(environment)
    assert environment.get("NO_PROXY") == after
    addresses.bypass_proxies(environment)
    assert environment.get("NO_PROXY") == after


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:9", "socks5h://127.0.0.1:9"])
def test_a_socks_proxy_does_not_keep_clients_from_this_machine(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    addresses.bypass_proxies()
    httpx.Client().close()
    monkeypatch.setenv("ALL_PROXY", "")  # so that the end of the test restores what was before


@pytest.mark.parametrize(
    ("module", "call"),
    [("flows", "pass"), ("ddpm.cli", "ddpm.cli._about()"), ("ddpm.tracking.store", "ddpm.tracking.store.quiet()")],
)
def test_every_entry_point_exempts_this_machine(module: str, call: str) -> None:
    code = f"import os, {module}; {call}; print(os.environ.get('NO_PROXY'))"
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"http_proxy": "http://p"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["localhost,127.0.0.1,::1"]
