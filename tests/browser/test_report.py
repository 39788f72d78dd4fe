"""The report as a real browser shows it: light and dark, on a desk and on a phone, and printed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddpm.report import figures, page
from tests.browser.audit import audit
from tests.browser.chromium import Tab
from tests.report import made


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
        figures.class_shares(dict.fromkeys(classes, 0.25), labels),
        figures.extremes(images, labels, classes, scores=random.random(40), by="confidence"),
        figures.denoising(images.reshape(4, 10, 8, 8, 1), labels, classes),
        figures.curves([100, 200, 300], [1.0, 0.4, 0.3], [0.001, 0.002, 0.0]),
        figures.companions(images[:3], [images[:5]] * 3, [0.5, 1.0, 2.0], 1.2, "of_each_class"),
    ]
    metrics = made.METRICS | made.MORE
    composed = made.composed(metrics, pictures=pictures, drifted=made.DRIFT, facts=made.facts(metrics))
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page.render(composed))
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360, 320])
def test_it_reads_on_every_screen(tab: Tab, address: str, keep: Callable[[str], None], width: int, scheme: str) -> None:
    tab.size(width)
    tab.look("screen", scheme)
    tab.open(address)
    closed = audit(tab)
    keep(f"report-{scheme}-{width}")
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert audit(tab) > closed
    assert [each for each in tab.requests if not each.startswith("data:")] == [address]
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")


def test_print_is_light_and_opens_what_is_folded(
    tab: Tab, address: str, keep: Callable[[str], None], tmp_path: Path
) -> None:
    tab.size(800)
    tab.look("print", "dark")
    tab.open(address)
    folded = "[...document.querySelectorAll('details > :not(summary)')]"
    assert tab.evaluate(f"{folded}.length") > 3
    assert tab.evaluate(f"{folded}.every((each) => each.checkVisibility() && each.offsetHeight > 0)")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    audit(tab)
    keep("report-print")
    assert tab.pdf(tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        ("<p style='color:#999;background:#fff'>faint</p>", "faint"),
        ("<h3>a level is left out</h3>", "jumps"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=='>", "wordless"),
        ("<div style='width:900px'>wide</div>", "wide"),
        ("<script>console.error('no')</script>", "complaints"),
    ],
)
def test_the_check_sees_what_is_wrong(tab: Tab, tmp_path: Path, broken: str, found: str) -> None:
    tab.size(360)
    tab.look("screen", "light")
    path = tmp_path / "broken.html"
    head = "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>t</title>"
    path.write_text(f"{head}<h1>Title</h1>{broken}")
    tab.open(path.as_uri())
    with pytest.raises(AssertionError, match=f"^{{'{found}': "):
        audit(tab)
