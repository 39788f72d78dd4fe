"""The server of a review on a real socket: what it outlives, and how it ends."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpm.review import app
from ddpm.review.server import Server
from tests.support.reviews import started


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Start a server that ends with the test."""
    made = []

    def begin() -> Server:
        server = Server(started(tmp_path, 2), 0)
        threading.Thread(target=server.run, name=server.address).start()
        made.append(server)
        return server

    yield begin
    for server in made:
        server.stop()
        wait_for_end(server)


def wait_for_end(server: Server) -> None:
    for thread in threading.enumerate():
        if thread.name == server.address:
            thread.join(60)
            assert not thread.is_alive()


def connected(server: Server) -> socket.socket:
    host, _, port = server.address.partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def ask(server: Server, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.address, timeout=60)
    connection.request(method, path, body, {"Cookie": f"{server.cookie}={server.token}"} | headers)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def unfinished(server: Server) -> bytes:
    """A form of which the end is missing."""
    cookie = f"{server.cookie}={server.token}"
    return (
        f"POST /answer HTTP/1.1\r\nHost: {server.address}\r\nCookie: {cookie}\r\nContent-Length: 40\r\n\r\npos".encode()
    )


def test_the_link_is_of_this_server_alone(serve: Callable[[], Server]) -> None:
    server, other = serve(), serve()
    assert server.token != other.token
    assert server.link == f"http://{server.address}/?token={server.token}"
    assert ask(server, "GET", f"/?token={server.token}", Cookie="")[0] == 303
    assert ask(server, "GET", f"/?token={other.token}", Cookie="")[0] == 403
    assert ask(server, "GET", "/", Cookie=f"{server.cookie}={other.token}")[0] == 403
    assert ask(server, "GET", "/", Cookie=f"{server.cookie}=\xe9")[0] == 403
    assert ask(server, "GET", "/../params.yaml")[0] == 404


def test_it_listens_before_it_runs_and_on_this_machine_only(tmp_path: Path) -> None:
    server = Server(started(tmp_path, 2), 0)
    with server.socket, connected(server):
        assert server.socket.getsockname()[0] == "127.0.0.1"
        with pytest.raises(OSError, match="in use"):
            Server(server.session, server.socket.getsockname()[1])


def test_a_page_of_another_origin_gains_nothing_by_the_cookie(serve: Callable[[], Server]) -> None:
    server, form = serve(), "position=0&real=yes"
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "http://127.0.0.1:1"}):
        assert ask(server, "POST", "/answer", form, **headers)[0] in {400, 403}
    with connected(server) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {server.address}\r\nHost: evil.example\r\n\r\n".encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 400")
    assert server.session.answers == []


def test_the_result_stays_on_the_page_with_its_style_until_it_is_stopped(serve: Callable[[], Server]) -> None:
    server = serve()
    assert [ask(server, "POST", "/answer", f"position={i}&real=yes")[0] for i in (0, 1)] == [303, 303]
    assert ask(server, "POST", "/finish")[0] == 303
    for _ in range(2):  # reloaded
        status, result = ask(server, "GET", "/")
        assert status == 200
        assert f"{2 - server.session.real.sum()} of 2" in result
        assert app.STYLE in result
    assert not server.should_exit
    server.stop()
    wait_for_end(server)
    with pytest.raises(ConnectionRefusedError):
        connected(server)


def test_noise_and_silence_keep_nobody_waiting(serve: Callable[[], Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "TIMEOUT", 3600)
    server = serve()
    for sent in (b"", b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\nHost", unfinished(server)):
        with connected(server) as connection:
            connection.sendall(sent)
    with connected(server) as silent, connected(server):
        silent.sendall(unfinished(server))
        assert ask(server, "GET", "/")[0] == 200
        server.stop()
        wait_for_end(server)


def test_a_silent_connection_is_closed(serve: Callable[[], Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "TIMEOUT", 0.05)
    with connected(serve()) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHost")
        assert silent.recv(1024) == b""


def test_a_form_that_does_not_arrive_is_refused(serve: Callable[[], Server], monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    with connected(server) as slow:
        slow.sendall(f"HEAD / HTTP/1.1\r\nHost: {server.address}\r\n\r\n".encode())
        assert slow.recv(4096).startswith(b"HTTP/1.1 403")
        monkeypatch.setattr(app, "TIMEOUT", 0.05)
        slow.sendall(unfinished(server))
        assert slow.recv(1024).startswith(b"HTTP/1.1 408")
