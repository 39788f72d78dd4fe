"""The page of two models side by side: what it shows, and that its numbers are those of the pixels."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from ddpm.imaging import sheets
from ddpm.report import canary
from ddpm.report.canary import Pairs
from tests.support.canary_words import WORDS


def made(classes: tuple[str, ...] = ("zero", "one", "<two>"), count: int = 24) -> Pairs:
    """Pairs that are equal, but for pair 5, where every pixel is 10 grey levels apart, and pair 7, of which one is."""
    random = np.random.default_rng(0)
    champion = random.integers(0, 200, (count, 8, 8, 1)).astype(np.uint8)
    candidate = champion.copy()
    candidate[5] += 10
    candidate[7, 0, 0, 0] += 8
    labels = np.arange(count) % len(classes) if classes else np.full(count, -1)
    return Pairs(champion, candidate, labels, classes)


def test_numbers_are_those_of_the_pixels() -> None:
    pairs = made()
    assert pairs.differences[5] == 10
    assert pairs.differences[7] == pytest.approx(1.0)
    assert set(np.delete(pairs.differences, [5, 7])) == {0.0}
    wide = made(classes=())
    rolled = canary.rms(wide.champion, np.roll(wide.champion, 1, axis=0))
    assert wide.between_seeds == pytest.approx(np.median(rolled))
    few = Pairs(wide.champion[:3], wide.candidate[:3], np.arange(3), ("a", "b", "c"))
    assert few.between_seeds is None, "no two images of one class"


def test_the_page_says_what_was_compared_and_shows_every_class() -> None:
    text = canary.page(made(), WORDS)
    assert "digits: version 3 beside the champion, version 2" in text
    assert "&lt;two&gt;" in text
    assert "<two>" not in text
    assert len(re.findall(r'<img src="data:image/png;base64,[^"]+" alt="[^"]{20,}">', text)) == text.count("<img") == 4
    for words in ("inconclusive", "ddpm promote 3", "0 to 23", "22", "All 24 pairs", "By class"):
        assert words in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_without_classes_all_pairs_are_one_sheet() -> None:
    text = canary.page(made(classes=()), WORDS)
    assert text.count("<img") == 2
    assert "By class" not in text
    assert "same class" not in text


def test_the_sheet_has_champion_candidate_and_difference_in_this_order() -> None:
    pairs = made()
    sheet = canary._sheet(pairs, np.array([5, 0]), 10.0, "x")
    found = np.asarray(Image.open(io.BytesIO(sheet.png)))
    side = 8 * (sheets.CELL // 8)
    left = found.shape[1] - 2 * side - sheets.GAP
    rows = [found[start : start + side, left : left + side, 0] for start in (0, side + 3, 2 * (side + 3))]
    assert np.array_equal(rows[0][::10, ::10][:8, :8], pairs.champion[5, :, :, 0])
    assert np.array_equal(rows[1][::10, ::10][:8, :8], pairs.candidate[5, :, :, 0])
    assert rows[2].min() > 200, "as far apart as the scale goes: bright"
    assert found[2 * (side + 3) :, left + side + 3 :, :3].max() < 10, "equal: black"


def test_blocks_of_rows_stand_apart() -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    rows = [sheets.Row([image])] * 4
    heights = [Image.open(io.BytesIO(sheets.sheet(rows, row_groups=each))).height for each in ((), (0, 2))]
    assert heights[1] - heights[0] == sheets.GROUP_GAP
