"""The page of `ddpm try` in a real browser."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ddpm.report import model_comparison, trial_page
from ddpm.report.model_comparison import Drawn
from ddpm.report.trial_page import Context, Judged, Line
from tests.support.tab import Tab

REASONS = "FID (classifier) 1.917 against the champion's 1.324: 44.7% higher; over 10 blocks the difference is +0.66"
NAMES = ["champion (version 1)", "train.lr=0.001", "train.lr=0.004 net.multipliers=[1, 2, 2]"]


def context(count: int) -> Context:
    """One or two variants, with their curves and every part of the page."""
    names = NAMES[:count]
    judged = [
        Judged(f"lr-{number}", model_comparison.tone(verdict), f"{verdict} than the champion", REASONS)
        for number, verdict in enumerate(["better", "worse"][: count - 1])
    ]
    lines = [
        Line("train.lr", "", "", ["0.002", "0.001", "0.004"][:count]),
        Line("FID (classifier)", "↓", "lower is better", ["1.17 ± 0.46", "1.69 ± 0.46", ""][:count]),
    ]
    curves = {name: [(800.0 * step, 1 / (step + number)) for step in range(1, 9)] for number, name in enumerate(names)}
    return Context(
        "train.lr=0.001: is it better?", names, judged, lines, "± is the 95% interval over blocks of images drawn",
        "these evaluations differ in steps", curves, {"seeds": "0 to 23"}, [("Keep it", "ddpm try --keep lr-0")],
    )  # fmt: skip


def drawn(count: int, classes: int = 4) -> Drawn:
    images = np.random.default_rng(0).integers(0, 256, (count, 24, 8, 8, 1)).astype(np.uint8)
    labels = np.arange(24) % classes if classes else np.full(24, -1)
    return Drawn(NAMES[:count], list(images), labels, ["a", "b", "c", "d"][:classes])


@pytest.fixture(scope="module", params=[2, 3])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "trials.html"
    path.write_text(trial_page.page(drawn(request.param), context(request.param)))
    return path.as_uri()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360), ("light", 320)])
def test_it_reads_on_every_screen(
    open_tab: Callable[..., Tab], address: str, keep: Callable[[Tab, str], None], width: int, scheme: str
) -> None:
    tab = open_tab(width, scheme)
    tab.read(address)
    keep(tab, f"trials-{len(tab.page.query_selector_all('h2'))}-{scheme}-{width}")


def test_verdict_and_samples_stand_in_the_first_screen(open_tab: Callable[..., Tab], address: str) -> None:
    tab = open_tab(1280)
    tab.page.goto(address)
    for name in (".verdict", "header img"):
        box = tab.page.query_selector(name).bounding_box()  # type: ignore[union-attr]
        assert box["y"] + box["height"] <= 900


def test_without_curves_and_classes_nothing_is_left_empty() -> None:
    text = trial_page.page(drawn(2, classes=0), replace(context(2), curves={}, judged=[], warning=""))
    assert "Held-out loss" not in text
    assert 'class="verdict' not in text
    assert 'class="warning"' not in text
