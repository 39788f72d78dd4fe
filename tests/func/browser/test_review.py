"""A review in a real browser, by real key presses."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpm.review.server import Server
from tests.support.reviews import started
from tests.support.tab import Tab

COUNT = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(started(tmp_path, COUNT), 0)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join(60)
    assert not thread.is_alive()


def press(tab: Tab, key: str) -> None:
    """A key that leads to another page."""
    with tab.page.expect_event("load"):
        tab.page.keyboard.press(key)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_a_person_judges_by_keys_alone(
    open_tab: Callable[..., Tab], server: Server, keep: Callable[[Tab, str], None], scheme: str, width: int
) -> None:
    tab = open_tab(width, scheme)
    address = f"http://{server.address}/"
    tab.page.goto(server.link)
    assert tab.page.url == address, "the token does not stay in the address"
    tab.audit()
    keep(tab, f"review-{scheme}-{width}")
    press(tab, "r")
    press(tab, "g")
    press(tab, "u")
    assert server.session.answers == [True]
    tab.page.goto(address)  # reloaded: nothing is lost
    assert tab.page.inner_text("#progress") == "Image 2 of 4"
    tab.page.keyboard.press("x")  # no key of the page
    for key in "GRg":
        press(tab, key)
    assert server.session.answers == [True, False, True, False]
    tab.audit()
    keep(tab, f"review-end-{scheme}-{width}")
    press(tab, "Enter")
    wrong = sum(taken != real for taken, real in zip([True, False, True, False], server.session.real, strict=True))
    assert f"{wrong} of 4" in tab.page.inner_text("body")
    assert not server.should_exit
    tab.page.reload()
    assert f"{wrong} of 4" in tab.page.inner_text("body")
    assert tab.page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none", "styled"
    tab.audit()
    keep(tab, f"review-result-{scheme}-{width}")
    assert all(each.startswith((address, "data:")) for each in tab.requests)


def test_buttons_can_be_reached_and_pressed_without_a_mouse(open_tab: Callable[..., Tab], server: Server) -> None:
    tab = open_tab()
    tab.page.goto(server.link)
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Tab")
    assert tab.page.inner_text(":focus").startswith("Generated")
    press(tab, "Enter")
    assert server.session.answers == [False]
