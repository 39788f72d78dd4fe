"""The page that compares models: its content, and its numbers against pixels and score records."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from ddpm.evaluation.score_record import fid_name
from ddpm.imaging import sheets
from ddpm.report import model_comparison
from ddpm.report.model_comparison import Drawn
from tests.support.comparison_context import OTHER, PAIR, RECORD, THREE


def made(classes: tuple[str, ...] = ("zero", "one", "<two>"), count: int = 24) -> Drawn:
    """Equal pairs except two: in pair 5 every pixel differs by 10 grey levels, in pair 7 one pixel differs by 8."""
    random = np.random.default_rng(0)
    champion = random.integers(0, 200, (count, 8, 8, 1)).astype(np.uint8)
    candidate = champion.copy()
    candidate[5] += 10
    candidate[7, 0, 0, 0] += 8
    labels = np.arange(count) % len(classes) if classes else np.full(count, -1)
    return Drawn(("champion", "candidate"), (champion, candidate), labels, classes)


def test_numbers_are_those_of_the_pixels() -> None:
    pairs = made()
    differences = pairs.differences(1)
    assert differences[5] == 10
    assert differences[7] == pytest.approx(1.0)
    assert set(np.delete(differences, [5, 7])) == {0.0}
    wide = made(classes=())
    rolled = model_comparison.rms(wide.images[0], np.roll(wide.images[0], 1, axis=0))
    assert wide.between_seeds == pytest.approx(np.median(rolled))
    few = Drawn(wide.names, [each[:3] for each in wide.images], np.arange(3), ("a", "b", "c"))
    assert few.between_seeds is None, "no two images of one class"


def test_the_page_says_what_was_compared_and_shows_every_class() -> None:
    text = model_comparison.page(made(), PAIR)
    assert "digits: version 3 compared with the champion, version 2" in text
    assert "&lt;two&gt;" in text
    assert "<two>" not in text
    assert len(re.findall(r'<img src="data:image/png;base64,[^"]+" alt="[^"]{20,}">', text)) == text.count("<img") == 5
    for words in ("<strong>Gate: inconclusive</strong>", "ddpm promote 3", "0 to 23", "22", "All 24 pairs", "By class"):
        assert words in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_without_classes_all_pairs_are_one_sheet() -> None:
    text = model_comparison.page(made(classes=()), PAIR)
    assert text.count("<img") == 3
    assert "By class" not in text
    assert "same class" not in text


def test_the_sheet_has_champion_candidate_and_difference_in_this_order() -> None:
    pairs = made()
    sheet = model_comparison.sheet(pairs, np.array([5, 0]), 10.0, "x")
    found = np.asarray(Image.open(io.BytesIO(sheet.png)))
    side = 8 * (sheets.CELL // 8)
    left = found.shape[1] - 2 * side - sheets.GAP
    rows = [found[start : start + side, left : left + side, 0] for start in (0, side + 3, 2 * (side + 3))]
    assert np.array_equal(rows[0][::10, ::10][:8, :8], pairs.images[0][5, :, :, 0])
    assert np.array_equal(rows[1][::10, ::10][:8, :8], pairs.images[1][5, :, :, 0])
    assert rows[2].min() > 200, "as far apart as the scale goes: bright"
    assert found[2 * (side + 3) :, left + side + 3 :, :3].max() < 10, "equal: black"


def test_blocks_of_rows_stand_apart() -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    rows = [sheets.SheetRow([image])] * 4
    heights = [Image.open(io.BytesIO(sheets.sheet(rows, row_groups=each))).height for each in ((), (0, 2))]
    assert heights[1] - heights[0] == sheets.GROUP_GAP


def three() -> Drawn:
    """The pair and a third model, all of whose images are 3 grey levels from the reference's."""
    pair = made()
    return Drawn(("version 2", "version 3", "ema-0.1"), (*pair.images, pair.images[0] + 3), pair.labels, pair.classes)


def test_any_number_of_models_are_compared_with_the_first() -> None:
    text = model_comparison.page(three(), THREE)
    cells = "".join(
        f'<td data-name="{name}">([^<]+)</td>' for name in ("Median difference", "Largest difference", "Equal images")
    )
    rows = re.findall(rf'<tr><th scope="row">([^<]+)</th>{cells}', text)
    assert rows == [("version 3", "0", "10.0", "22"), ("ema-0.1", "3.00", "3.00", "0")]
    assert "Each block shows, from top to bottom: version 2, version 3, ema-0.1." in text
    sheet = Image.open(io.BytesIO(model_comparison.sheet(three(), np.arange(8), 10.0, "x").png))
    assert sheet.height == 3 * 8 * (sheets.CELL // 8) + 2 * sheets.GAP, "a row for each model"


def test_scores_have_intervals_and_unequal_conditions_are_named() -> None:
    rows = {name: values for name, _, _, values in model_comparison.score_rows([RECORD, None])}
    half = stats.t.ppf(0.975, 7) * RECORD.spread["fid"] / np.sqrt(8)
    name = fid_name(RECORD.conditions)
    assert name.startswith("FID (")
    assert rows[name] == [f"3.21 ± {half:#.2g}", ""]
    assert rows["KID"] == ["0.0123", ""], "no deviation between seed blocks"
    assert model_comparison.unequal([RECORD, None]) == []
    assert model_comparison.unequal([RECORD, OTHER]) == ["count"], "weights may differ"
    text = model_comparison.page(three(), THREE)
    assert re.findall("These evaluations differ in ([^:]*): their scores do not compare", text) == ["count"]
    has_scores = ['<h2 id="scores">' in each for each in (text, model_comparison.page(made(), PAIR))]
    assert has_scores == [True, False]
    assert '<th scope="row">FID <' in text, "evaluations with other conditions have no name in common"


def test_the_first_samples_have_each_class_once_in_the_order_of_seeds() -> None:
    pairs = made()
    assert model_comparison.one_of_each(pairs).tolist() == [0, 1, 2]
    turned = Drawn(pairs.names, pairs.images, (np.arange(24) + 1) % 3, pairs.classes)
    assert model_comparison.one_of_each(turned).tolist() == [0, 1, 2]
    assert model_comparison.one_of_each(made(classes=())).tolist() == list(range(8))


def test_a_page_without_a_verdict_has_no_panel() -> None:
    assert 'class="verdict' not in model_comparison.page(three(), THREE)
