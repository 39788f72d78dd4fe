"""Debian's Chromium, driven by Playwright; skipped where there is none."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.tab import Tab

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser per file, since Playwright keeps an event loop in this thread, where other tests start their own."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("Chromium is missing: on Debian and Ubuntu, apt-get install chromium; or name one in CHROMIUM")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=program) as found:
        yield found


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Open a page of a profile of its own."""
    contexts = []

    def opened(width: int = 1280, scheme: str = "light", media: str = "screen") -> Tab:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, is_mobile=width < 600, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.emulate_media(media=media)
        return Tab(page)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[Tab, str], None]:
    """Take a screenshot; DDPM_SCREENSHOTS names a folder to keep them in."""
    folder = Path(os.environ.get("DDPM_SCREENSHOTS") or tmp_path)

    def shoot(tab: Tab, name: str) -> None:
        assert len(tab.page.screenshot(path=folder / f"{name}.png", full_page=True)) > 2000

    return shoot
