"""The page of models side by side in a real browser."""

from collections.abc import Callable

import numpy as np
import pytest

from ddpm.report import model_comparison
from tests.support.comparison_context import PAIR, THREE
from tests.support.tab import Tab


@pytest.fixture(scope="module", params=[2, 3])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty images of four classes, of two models with a verdict, or of three with scores."""
    names = ["version 2", "version 3", "ema-0.1"][: request.param]
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 40, 8, 8, 1)).astype(np.uint8)
    classes = ["circle", "cross", "square", "triangle"]
    drawn = model_comparison.Drawn(names, list(images[: request.param]), np.arange(40) % 4, classes)
    path = tmp_path_factory.mktemp("page") / "compare.html"
    path.write_text(model_comparison.page(drawn, PAIR if request.param == 2 else THREE))
    return path.as_uri()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360), ("light", 320)])
def test_it_reads_on_every_screen(
    open_tab: Callable[..., Tab], address: str, keep: Callable[[Tab, str], None], width: int, scheme: str
) -> None:
    tab = open_tab(width, scheme)
    tab.read(address)
    keep(tab, f"compare-{len(tab.page.query_selector_all('h2'))}-{scheme}-{width}")


def test_samples_stand_in_the_first_screen(open_tab: Callable[..., Tab], address: str) -> None:
    for width in (1280, 390):
        tab = open_tab(width)
        tab.page.goto(address)
        box = tab.page.query_selector("header img").bounding_box()  # type: ignore[union-attr]
        assert box["y"] + box["height"] <= 900
