"""Prefect's and MLflow's pages in a real browser: signing in by the link, and what another page can do to them then."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.flow_servers import PLANTED, WRITES, Servers, running
from tests.support.tab import Tab

ATTACK = """\
(async () => {
  const done = [];
  const attempt = async (name, work) => { try { await work(); done.push(name); } catch (error) {} };
  const own = { credentials: "include" };
  await attempt("read", () => fetch("ADDRESS" + "PATH", own));
  await attempt("write", () => fetch("ADDRESSPATH", { ...own, method: "PATCH", body: "{}",
    headers: { "Content-Type": "application/json" } }));
  await fetch("ADDRESSPATH", { ...own, mode: "no-cors", method: "POST", body: 'BODY' }).catch(() => 0);
  await attempt("script", () => new Promise((resolve, reject) => document.head.append(
    Object.assign(document.createElement("script"),
      { src: "ADDRESS/ddpm/sign-in.js", onload: resolve, onerror: reject }))));
  await attempt("socket", () => new Promise((resolve, reject) => Object.assign(
    new WebSocket("ADDRESS/api/events/out".replace("http", "ws")), { onopen: resolve, onerror: reject })));
  return done;
})()"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Iterator[Servers]:
    with running(tmp_path_factory.mktemp("pages"), prefect_home) as found:
        yield found


@pytest.fixture
def evil_page() -> Iterator[str]:
    """A page of another port of this host, to which browsers send the cookies of all."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><link rel=icon href=data:,>")

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as found:
        threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}/"
        found.shutdown()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360), ("light", 320)])
def test_the_sign_in_page_reads_on_every_screen(
    open_tab: Callable[..., Tab], servers: Servers, keep: Callable[[Tab, str], None], scheme: str, width: int
) -> None:
    tab = open_tab(width, scheme)
    tab.page.goto(f"http://127.0.0.1:{servers.ports['mlflow']}/ddpm/sign-in")
    background = "getComputedStyle(document.body).backgroundColor"
    assert tab.page.evaluate(background) == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    expected = " 401 (Unauthorized)"  # the script asks whether the browser is signed in, then the secret is wrong
    tab.page.get_by_label("Secret").fill("wrong")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("alert")).to_have_text("That is not the secret of this server.")
    assert [each.endswith(expected) for each in tab.complaints] == [True, True]
    tab.complaints.clear()
    tab.audit()
    keep(tab, f"sign-in-{scheme}-{width}")


@pytest.mark.parametrize(("name", "shows"), [("prefect", "Logout"), ("mlflow", "Experiments")])
def test_the_link_signs_in_and_another_page_gains_nothing_by_it(
    open_tab: Callable[..., Tab],
    servers: Servers,
    evil_page: str,
    keep: Callable[[Tab, str], None],
    name: str,
    shows: str,
) -> None:
    address = f"http://127.0.0.1:{servers.ports[name]}"
    tab = open_tab()
    tab.page.goto(f"{address}/ddpm/sign-in")
    assert tab.page.locator("[name=secret]").get_attribute("type") == "password"
    tab.page.goto("about:blank")
    tab.complaints.clear()
    tab.page.goto(f"{address}/ddpm/sign-in#{servers.secret}")
    expect(tab.page.locator("body")).to_contain_text(shows, timeout=60_000)
    assert servers.secret not in tab.page.url
    assert "/ddpm/" not in tab.page.url
    assert not [each for each in tab.complaints if " 401 " in each]
    keep(tab, f"signed-in-{name}")
    tab.page.goto(evil_page)
    attack = ATTACK.replace("ADDRESS", address).replace("PATH", WRITES[name]).replace("BODY", PLANTED.decode())
    assert tab.page.evaluate(attack) == []
    assert not servers.planted(name)
