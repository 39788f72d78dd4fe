"""The page of two models side by side in a real browser."""

from collections.abc import Callable

import numpy as np
import pytest

from ddpm.report import canary
from tests.support.canary_words import WORDS
from tests.support.tab import Tab


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty pairs of four classes, and long reasons."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2, 40, 8, 8, 1)).astype(np.uint8)
    pairs = canary.Pairs(images[0], images[1], np.arange(40) % 4, ["circle", "cross", "square", "triangle"])
    path = tmp_path_factory.mktemp("page") / "canary.html"
    path.write_text(canary.page(pairs, WORDS))
    return path.as_uri()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360), ("light", 320)])
def test_it_reads_on_every_screen(
    open_tab: Callable[..., Tab], address: str, keep: Callable[[Tab, str], None], width: int, scheme: str
) -> None:
    tab = open_tab(width, scheme)
    tab.page.goto(address)
    closed = tab.audit()
    tab.unfold()
    assert tab.audit() > closed
    keep(tab, f"canary-{scheme}-{width}")
    assert [each for each in tab.requests if not each.startswith("data:")] == [address]
