"""The server of a review without a browser: what it gives away, and what it refuses and outlives."""

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddpm.review.server import Server
from tests.review.test_session import started


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(started(tmp_path, 4), 0)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def ask(
    server: Server, method: str, path: str, body: str | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Ask as a browser does that has opened the link."""
    headers.setdefault("Cookie", f"{server.cookie}={server.token}")
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def test_the_whole_way_gives_nothing_away_before_the_end(server: Server) -> None:
    pages, sizes = [], set()
    for position in range(4):
        pages.append(ask(server, "GET", "/")[1].replace(f"/{position}".encode(), b"/N"))
        status, image, headers = ask(server, "GET", f"/image/{position}")
        assert status == 200
        sizes.add((len(image), *sorted(name for name in headers)))
        assert ask(server, "POST", "/answer", f"position={position}&real=yes")[0] == 303
    assert len(sizes) == 1
    assert len({len(page) for page in pages[1:]}) == 1
    assert b"wrong" not in b"".join(pages)
    assert b"wrong" not in ask(server, "GET", "/")[1]
    status, result, _ = ask(server, "POST", "/finish", "")
    assert (status, server.finished.wait(5)) == (200, True)
    assert f"{4 - server.session.real.sum()} of 4" in result.decode()


def test_only_the_image_that_is_due_is_shown(server: Server) -> None:
    assert ask(server, "GET", "/image/1")[0] == 404
    ask(server, "POST", "/answer", "position=0&real=no")
    assert [ask(server, "GET", f"/image/{i}")[0] for i in (0, 1)] == [404, 200]
    ask(server, "POST", "/undo", "")
    assert ask(server, "GET", "/image/0")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/../params.yaml", None, 404), ("GET", "/image/-1", None, 404), ("GET", "/image/x", None, 404),
        ("GET", "/?real=1", None, 404), ("GET", "/review.html.jinja", None, 404), ("GET", "/session.py", None, 404),
        ("POST", "/", "", 404), ("POST", "/answer", "", 400), ("POST", "/answer", "position=0&real=maybe", 400),
        ("POST", "/answer", "position=0&real=yes&real=no", 400), ("POST", "/answer", "position=7&real=yes", 409),
        ("POST", "/answer", "position=99999999&real=yes", 400), ("POST", "/undo", "", 409),
        ("POST", "/finish", "", 409), ("POST", "/answer", "\xff" * 9, 400), ("POST", "/answer", "x" * 2000, 413),
        ("DELETE", "/", None, 501),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_and_changes_nothing(
    server: Server, method: str, path: str, body: str | None, status: int
) -> None:
    assert ask(server, method, path, body)[0] == status
    assert server.session.answers == []
    assert ask(server, "GET", "/")[0] == 200


def test_other_hosts_and_other_pages_are_refused(server: Server) -> None:
    assert ask(server, "GET", "/", Host=f"evil.example:{server.server_port}")[0] == 421
    assert ask(server, "GET", "/", Host=f"localhost:{server.server_port}")[0] == 200
    form = "position=0&real=yes"
    for origin in ("http://evil.example", "null"):
        assert ask(server, "POST", "/answer", form, Origin=origin)[0] == 403
    assert server.session.answers == []
    assert ask(server, "POST", "/answer", form, Origin=f"http://127.0.0.1:{server.server_port}")[0] == 303


def test_without_the_token_of_the_link_nothing_is_shown_or_taken(server: Server) -> None:
    form = "position=0&real=yes"
    elsewhere = f"ddpm-review-1={server.token}"
    for cookie in (
        "",
        elsewhere,
        f"{server.cookie}=x",
        f"{server.cookie}=",
        "\x01;=;",
        f"{server.cookie}={server.token}x",
    ):
        for method, path, body in (("GET", "/", None), ("GET", "/image/0", None), ("GET", "/review.js", None),
                                   ("GET", "/?token=x", None), ("POST", "/answer", form), ("POST", "/?token=x", form),
                                   ("POST", f"/?token={server.token}", form)):  # fmt: skip
            status, answer, _ = ask(server, method, path, body, Cookie=cookie)
            assert (status, server.token.encode() in answer) == (403, False)
    assert server.session.answers == []
    status, _, headers = ask(server, "GET", f"/?token={server.token}", Cookie="")
    assert (status, headers["Location"]) == (303, "/")
    assert headers["Set-Cookie"].startswith(f"{server.cookie}={server.token}; HttpOnly; SameSite=Lax")
    assert ask(server, "GET", f"/?token={server.token}", Host="evil.example", Cookie="")[0] == 421
    assert Server(server.session, 0).token != server.token


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_cannot_embed_what_a_browser_would_be_let_in_to(server: Server, site: str) -> None:
    headers = {"Sec_Fetch_Site": site}
    for mode, destination in (("no-cors", "image"), ("navigate", "iframe"), ("no-cors", "script"), ("cors", "empty")):
        assert ask(server, "GET", "/", **headers, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=destination)[0] == 403
        assert ask(server, "POST", "/undo", "", **headers, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=destination)[0] == 403
    assert ask(server, "GET", "/", **headers, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")[0] == 200


def test_noise_and_silence_do_not_end_the_server(server: Server) -> None:
    for sent in (b"", b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\nHost", b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                 b"Content-Length: 40\r\n\r\npos" % server.server_port):  # fmt: skip
        with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
            connection.sendall(sent)
    with socket.create_connection(("127.0.0.1", server.server_port)) as silent:
        silent.sendall(
            b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 40\r\n\r\n" % server.server_port
        )
        assert ask(server, "GET", "/")[0] == 200


def test_the_page_loads_nothing_from_elsewhere_and_is_not_kept(server: Server) -> None:
    _, html, headers = ask(server, "GET", "/")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert b"http" not in html
    assert [ask(server, "GET", f"/review.{kind}")[0] for kind in ("css", "js")] == [200, 200]
