"""The report as a real browser shows it: light and dark, on a desk and on a phone, and printed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddpm.report import figures, page
from tests.support import made_reports as made
from tests.support.tab import Tab

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with all that it can have."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
    labels = np.arange(40) % 4
    classes = ["0", "1", "2", "3"]
    pictures = [
        figures.comparison(images, labels, images, labels, classes),
        figures.samples(images, labels, 6),
        figures.class_shares(dict.fromkeys(classes, 0.25), labels, labels),
        figures.extremes(images, labels, classes, scores=random.random(40), by="confidence"),
        figures.denoising(images.reshape(4, 10, 8, 8, 1), labels, classes),
        figures.curves([100, 200, 300], [1.0, 0.4, 0.3], [0.001, 0.002, 0.0]),
        figures.companions(images[:3], [images[:5]] * 3, [0.5, 1.0, 2.0], 1.2, "of_each_class"),
    ]
    metrics = made.METRICS | made.MORE
    composed = made.composed(metrics, pictures=pictures, drifted=made.DRIFT, summary=made.summary(metrics))
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page.render(composed))
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360, 320])
def test_it_reads_on_every_screen(
    open_tab: Callable[..., Tab], address: str, keep: Callable[[Tab, str], None], width: int, scheme: str
) -> None:
    tab = open_tab(width, scheme)
    tab.read(address, lambda: keep(tab, f"report-{scheme}-{width}"))
    dark = tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")


def test_print_is_light_and_opens_what_is_folded(
    open_tab: Callable[..., Tab], address: str, keep: Callable[[Tab, str], None]
) -> None:
    tab = open_tab(800, "dark", "print")
    tab.page.goto(address)
    folded = "[...document.querySelectorAll('details > :not(summary)')]"
    assert tab.page.evaluate(f"{folded}.length") > 3
    assert tab.page.evaluate(f"{folded}.every((each) => each.checkVisibility() && each.offsetHeight > 0)")
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.audit()
    keep(tab, "report-print")
    assert tab.page.pdf(print_background=True).startswith(b"%PDF")


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        ("<p style='color:#999;background:#fff'>faint</p>", "color-contrast"),
        ("<p style='background:linear-gradient(#fff,#eee)'>perhaps faint</p>", "color-contrast"),
        ("<h3>a level is left out</h3>", "heading-order"),
        ("<h1>a second title</h1>", "one h1"),
        (f"<img src='{PIXEL}'>", "image-alt"),
        (f"<img src='{PIXEL}' alt=''>", "words for every image"),
        ("<img src='data:image/gif;base64,' alt='broken'>", "every image loads"),
        ("<div style='width:900px'>wide</div>", "no sideways scrolling"),
        ("<p id=a>one</p><p id=a>two</p>", "ids differ"),
        ("<p tabindex=0></p>", "a name for all that has the focus"),
        ("<script>console.error('no')</script>", "complaints"),
        ("<script>throw new Error('no')</script>", "complaints"),
        ("<link rel=stylesheet href=missing.css>", "complaints"),
    ],
)
def test_the_check_sees_what_is_wrong(open_tab: Callable[..., Tab], tmp_path: Path, broken: str, found: str) -> None:
    path = tmp_path / "broken.html"
    head = "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>t</title>"
    tab = open_tab(360)
    path.write_text(f"{head}<main><h1>Title</h1></main>")
    tab.page.goto(path.as_uri())
    tab.audit()
    path.write_text(f"{head}<main><h1>Title</h1>{broken}</main>")
    tab.page.goto(path.as_uri())
    assert found in tab.problems()
