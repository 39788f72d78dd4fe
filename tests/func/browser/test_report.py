"""The report as a real browser shows it: light and dark, on a desk and on a phone, and printed."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddpm.imaging import sheets
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
        figures.strip(images, labels, classes),
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


BOTTOM = "(selector) => document.querySelector(selector).getBoundingClientRect().bottom"


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_samples_and_verdict_are_in_the_first_screen(
    open_tab: Callable[..., Tab], address: str, width: int, height: int
) -> None:
    tab = open_tab(width)
    tab.page.set_viewport_size({"width": width, "height": height})
    tab.page.goto(address)
    assert 0 < tab.page.evaluate(BOTTOM, ".strip img") < height
    assert 0 < tab.page.evaluate(BOTTOM, ".verdict") < height
    if width > 600:  # beside each other, and the scores and facts too
        tops = [tab.page.locator(each).bounding_box()["y"] for each in (".strip", ".verdict")]
        assert tops[0] == tops[1]
        assert tab.page.evaluate(BOTTOM, ".about") < height


def test_every_line_of_the_contents_leads_to_a_heading(open_tab: Callable[..., Tab], address: str) -> None:
    tab = open_tab()
    tab.page.goto(address)
    links = tab.page.locator("nav a")
    assert links.count() > 6
    names = [(each.get_attribute("href"), each.inner_text()) for each in links.all()]
    assert [tab.page.inner_text(f"h2{target}") for target, _ in names] == [name for _, name in names]
    assert tab.page.locator("h2").count() == len(names)


def test_it_prints_on_at_most_eight_pages_and_no_table_of_scores_is_split(
    open_tab: Callable[..., Tab], address: str
) -> None:
    tab = open_tab(703, "light", "print")
    tab.page.goto(address)
    pages = len(re.findall(rb"/Type\s*/Page\b", tab.page.pdf(format="A4", print_background=True)))
    assert 1 < pages <= 8
    broken = "[...document.querySelectorAll('table, tr, figure')].map((each) => getComputedStyle(each).breakInside)"
    assert set(tab.page.evaluate(broken)) == {"avoid"}
    heights = "[...document.querySelectorAll('table')].map((each) => each.offsetHeight)"
    assert max(tab.page.evaluate(heights)) < 1030, "a table longer than a page (273 mm) is split whatever its style"


def test_plots_on_a_phone_are_large_and_show_that_they_scroll(open_tab: Callable[..., Tab], address: str) -> None:
    tab = open_tab(390)
    tab.page.goto(address)
    plots = tab.page.locator(".plot")
    assert plots.count() >= 2
    for plot in plots.all():
        assert plot.evaluate("(each) => each.scrollWidth > 1.5 * each.clientWidth")
        assert "scroll sideways" in plot.evaluate("(each) => getComputedStyle(each, '::after').content")
        assert plot.evaluate("(each) => getComputedStyle(each, '::after').display") == "block"


def test_words_in_the_pictures_are_readable_on_a_phone(open_tab: Callable[..., Tab], address: str) -> None:
    """Text of sheets is drawn at FONT_SIZE; a sheet of ten columns is as wide as the screen."""
    tab = open_tab(390)
    tab.page.goto(address)
    image = tab.page.locator(".sheet img").first
    scale = image.evaluate("(each) => each.clientWidth / each.naturalWidth")
    assert scale * sheets.FONT_SIZE >= 10


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
