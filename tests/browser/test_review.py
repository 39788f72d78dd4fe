"""A review in a real browser, by real key presses."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpm.review.server import Server
from tests.browser.audit import audit
from tests.browser.chromium import Tab
from tests.review.test_session import started

COUNT = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(started(tmp_path, COUNT), 0)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def press(tab: Tab, key: str) -> None:
    """A key that leads to another page."""
    before = tab.loads
    tab.press(key)
    tab.loaded(before)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_a_person_judges_by_keys_alone(
    tab: Tab, server: Server, keep: Callable[[str], None], scheme: str, width: int
) -> None:
    tab.size(width)
    tab.look("screen", scheme)
    address = f"http://{server.hosts[0]}/"
    tab.open(server.link)
    assert tab.evaluate("location.href") == address, "the token does not stay in the address"
    audit(tab)
    keep(f"review-{scheme}-{width}")
    press(tab, "r")
    press(tab, "g")
    press(tab, "u")
    assert server.session.answers == [True]
    tab.open(address)  # reloaded: nothing is lost
    assert tab.evaluate("document.getElementById('progress').textContent") == "Image 2 of 4"
    tab.press("x")  # no key of the page
    for key in "GRg":
        press(tab, key)
    assert server.session.answers == [True, False, True, False]
    audit(tab)
    press(tab, "Enter")
    assert server.finished.wait(5)
    wrong = sum(taken != real for taken, real in zip([True, False, True, False], server.session.real, strict=True))
    assert f"{wrong} of 4" in tab.evaluate("document.body.textContent")
    audit(tab)
    keep(f"review-result-{scheme}-{width}")
    assert all(each.startswith((address, "data:")) for each in tab.requests)


def test_buttons_can_be_reached_and_pressed_without_a_mouse(tab: Tab, server: Server) -> None:
    tab.open(server.link)
    tab.press("Tab")
    tab.press("Tab")
    assert tab.evaluate("document.activeElement.textContent").startswith("Generated")
    press(tab, "Enter")
    assert server.session.answers == [False]
