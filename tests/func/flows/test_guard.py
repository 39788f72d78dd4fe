"""The guard in front of an application, in one process: requests it refuses, answers and passes on, and its proof."""

import base64
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from flows.service.guard import Guard, GuardConfig, proof

SECRET = ":".join(("ddpm", "made-up-for-tests"))
ADDRESS = "127.0.0.1:5000"
KEY = "k" * 64
NONCE = "0" * 32


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything."""
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.send_text("in")
        await socket.close()
    else:
        await PlainTextResponse("in", headers={"X-Asked": scope["path"]})(scope, receive, send)


def asking(cookie: bool = True, address: str = ADDRESS, secret: str = SECRET) -> TestClient:
    gate = GuardConfig("mlflow" if cookie else "prefect", address, KEY, secret, cookie)
    assert GuardConfig.from_json(gate.to_json()) == gate
    return TestClient(Guard(application, gate), base_url=f"http://{address}", follow_redirects=False)


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


@pytest.mark.parametrize("cookie", [True, False])
@pytest.mark.parametrize(
    "host",
    ["evil.example:5000", "evil.example", "127.0.0.1:5001", "localhost:5001", "127.0.0.1", "localhost", "0.0.0.0:5000",
     "127.0.0.1.evil.example:5000", "evil.example:5000@127.0.0.1:5000", "[::1]:5000", "127.0.0.2:5000", ""],
)  # fmt: skip
def test_other_hosts_are_refused_even_with_the_secret(host: str, cookie: bool) -> None:
    for path in ("/", "/health", "/ddpm/proof?nonce=" + NONCE, "/ddpm/sign-in"):
        assert asking(cookie).get(path, headers=basic(SECRET) | {"Host": host}).status_code == 421


def test_two_host_headers_are_refused() -> None:
    headers = [("Host", ADDRESS), ("Host", "evil.example")]
    assert asking().get("/health", headers=headers).status_code == 421


@pytest.mark.parametrize("cookie", [True, False])
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://127.0.0.1:5001", "http://localhost:5000", "https://127.0.0.1:5000", "null",
     "http://127.0.0.1", "http://127.0.0.1:5000.evil.example", "file://", ""],
)  # fmt: skip
def test_requests_from_other_origins_are_refused_even_with_the_secret(origin: str, cookie: bool) -> None:
    for method in ("GET", "POST", "PATCH", "OPTIONS"):
        answer = asking(cookie).request(method, "/api", headers=basic(SECRET) | {"Origin": origin})
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    with pytest.raises(WebSocketDisconnect):
        asking(cookie).websocket_connect(f"ws://{ADDRESS}/", headers=basic(SECRET) | {"Origin": origin}).__enter__()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("mode", "destination"),
    [("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe"), ("navigate", "object"), ("no-cors", "empty")],
)
def test_embedding_by_another_page_is_refused(site: str, mode: str, destination: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    assert asking().get("/health", headers=headers | basic(SECRET)).status_code == 403


def test_a_link_to_the_page_may_be_followed_but_no_form_submitted() -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert asking(cookie=False).get("/runs", headers=headers).status_code == 200
    assert asking(cookie=False).post("/runs", headers=headers).status_code == 403


def test_own_pages_and_programs_with_the_secret_are_accepted() -> None:
    for headers in ({}, {"Origin": f"http://{ADDRESS}", "Sec-Fetch-Site": "same-origin"}):
        answer = asking().post("/api", headers=headers | basic(SECRET))
        assert (answer.status_code, answer.text) == (200, "in")
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    with asking().websocket_connect(f"ws://{ADDRESS}/", headers=basic(SECRET)) as socket:
        assert socket.receive_text() == "in"
    assert asking().get("/health").text == "in"


@pytest.mark.parametrize(
    "headers", [{}, basic("ddpm:another"), basic(""), {"Authorization": "Basic !"}, {"Authorization": "Bearer x"},
                {"Cookie": "ddpm-mlflow-5000=x"}, {"Cookie": f"ddpm-mlflow-5000={SECRET}"}],
)  # fmt: skip
def test_without_the_secret_nothing_is_accepted(headers: dict[str, str]) -> None:
    for method, path in (("GET", "/ajax-api/x"), ("POST", "/api/x"), ("POST", "/graphql"), ("GET", "/health/"),
                         ("GET", f"http://{ADDRESS}//health/x"), ("GET", "/ddpm/sign-in/../api")):  # fmt: skip
        assert asking().request(method, path, headers=headers).status_code in {401, 404}
    with pytest.raises(WebSocketDisconnect):
        asking().websocket_connect(f"ws://{ADDRESS}/", headers=headers).__enter__()


def test_a_browser_signs_in_and_stays_signed_in() -> None:
    browser = asking()
    first = browser.get("/", headers={"Accept": "text/html"})
    assert (first.status_code, first.headers["Location"]) == (303, "/ddpm/sign-in?next=%2F")
    page = browser.get(first.headers["Location"])
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name, kind in {"sign-in.js": "text/javascript", "sign-in.css": "text/css"}.items():
        assert browser.get(f"/ddpm/{name}").headers["Content-Type"].startswith(kind)
    assert browser.post("/ddpm/sign-in", content="ddpm:wrong").status_code == 401
    assert browser.post("/ddpm/sign-in", content="").status_code == 401
    assert browser.post("/ddpm/sign-in", content="x" * 5000).status_code == 413
    assert browser.get("/", headers={"Accept": "text/html"}).status_code == 303
    answer = browser.post("/ddpm/sign-in", content=SECRET)
    assert answer.status_code == 204
    told = answer.headers["Set-Cookie"]
    assert "HttpOnly" in told
    assert "SameSite=strict" in told
    assert SECRET.partition(":")[2] not in told
    assert browser.get("/ajax-api/x").text == browser.get("/").text == "in"
    assert browser.post("/ddpm/sign-in", content="").status_code == 204
    elsewhere = asking(address="127.0.0.1:5001")
    elsewhere.cookies = browser.cookies
    assert elsewhere.get("/ajax-api/x").status_code == 401, "browsers send a cookie to all ports"


def test_prefects_page_requires_sign_in_and_its_api_is_left_to_prefect() -> None:
    browser, page = asking(cookie=False), {"Accept": "text/html"}
    assert browser.get("/api/flows").text == browser.post("/api/flows", headers=page).text == "in"
    opened = browser.get("/runs/flow-run/1?tab=Logs", headers=page)
    assert (opened.status_code, opened.headers["Location"]) == (
        303, "/ddpm/sign-in?next=%2Fruns%2Fflow-run%2F1%3Ftab%3DLogs"
    )  # fmt: skip
    assert browser.post("/ddpm/sign-in", content="ddpm:wrong").status_code == 401
    assert browser.get("/", headers=page).status_code == 303
    assert browser.post("/ddpm/sign-in", content=SECRET).status_code == 204
    assert browser.get("/runs/flow-run/1", headers=page).text == "in"


def test_localhost_redirects_to_the_address_of_the_page() -> None:
    answer = asking().get(
        f"http://{ADDRESS}//evil.example/a?b=c", headers={"Host": "localhost:5000", "Accept": "text/html"}
    )
    assert (answer.status_code, answer.headers["Location"]) == (307, f"http://{ADDRESS}/evil.example/a?b=c")
    assert asking().get("/health", headers={"Host": "localhost:5000"}).text == "in"


def test_with_user_accounts_the_guard_asks_for_no_secret() -> None:
    browser = TestClient(
        Guard(application, GuardConfig("mlflow", "10.1.2.3:5000", KEY, "", cookie=False)),
        base_url="http://10.1.2.3:5000",
    )
    assert browser.get("/").text == "in"
    assert browser.post("/ddpm/sign-in", content="").status_code == 404
    assert browser.get("/", headers={"Host": "localhost:5000"}).status_code == 421


def test_a_proof_depends_on_key_name_address_and_nonce() -> None:
    def proven(path: str, **gate: Any) -> Any:
        return asking(**gate).get(path).json()["proof"]

    given = proven(f"/ddpm/proof?nonce={NONCE}")
    assert given == proof(KEY, "mlflow", ADDRESS, NONCE)
    assert KEY not in given
    others = {
        proven(f"/ddpm/proof?nonce={NONCE}1"),
        proven(f"/ddpm/proof?nonce={NONCE}", cookie=False),
        proven(f"/ddpm/proof?nonce={NONCE}", address="127.0.0.1:5001"),
    }
    assert len(others | {given}) == 4
    for nonce in ("", "1", "x" * 40, "0" * 200):
        assert asking().get(f"/ddpm/proof?nonce={nonce}").status_code == 400
