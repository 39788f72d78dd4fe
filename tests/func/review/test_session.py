"""A review: its order is of chance, its answers outlive the process, and its numbers are those of the textbook."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm.common import files
from ddpm.review import session
from tests.support.reviews import DRAWN, REAL, started


def test_each_image_is_what_the_coin_says_and_none_comes_twice(tmp_path: Path) -> None:
    made = started(tmp_path, 60)
    assert ((made.images == 200).all(axis=(1, 2, 3)) == made.real).all()
    assert 15 < made.real.sum() < 45
    drawn = made.images[~made.real]
    assert len(np.unique(drawn, axis=0)) == len(drawn)
    assert (started(tmp_path, 60).images == made.images).all()
    assert (started(tmp_path, 60, seed=4).real != made.real).any()


def test_answers_are_there_again_after_a_restart(tmp_path: Path) -> None:
    made = started(tmp_path)
    for position in range(4):
        made.answer(position, real=position == 1)
    made.undo()
    again = started(tmp_path)
    assert again.answers == [False, True, False]
    assert started(tmp_path, seed=4).answers == []


def test_nothing_is_answered_twice_or_changed_after_the_result(tmp_path: Path) -> None:
    made = started(tmp_path, 2)
    with pytest.raises(ValueError, match="no answer to undo"):
        made.undo()
    with pytest.raises(ValueError, match="2 images have no answer yet"):
        made.finish()
    made.answer(0, real=True)
    with pytest.raises(ValueError, match="image 1 is not the one"):
        made.answer(0, real=True)
    made.answer(1, real=True)
    with pytest.raises(ValueError, match="image 3 is not the one"):
        made.answer(2, real=True)
    made.finish()
    with pytest.raises(ValueError, match="no answer to undo"):
        made.undo()
    assert started(tmp_path, 2).finished
    assert files.read_json(made.path)["result"] == made.result()


def test_rates_and_exact_intervals_are_those_of_the_textbook() -> None:
    real = np.array([True] * 10 + [False] * 10)
    none_wrong = session.outcome(real, real)["missed"]
    assert none_wrong["low"] == 0
    assert none_wrong["high"] == pytest.approx(1 - 0.025 ** (1 / 10))  # Clopper and Pearson, no failure in ten
    found = session.outcome(np.array([True] * 13 + [False] * 7), real)
    assert (found["error"]["wrong"], found["error"]["of"]) == (3, 20)
    assert (found["fooled"]["rate"], found["missed"]["rate"]) == (0.3, 0.0)
    assert found["p_guessing"] == pytest.approx(2 * (1 + 20 + 190 + 1140) / 2**20)
    assert "missed" not in session.outcome(np.array([True]), np.array([False]))


def test_images_have_equal_sizes_in_bytes_and_keep_every_pixel() -> None:
    assert len({len(session.png(each)) for each in (*REAL[:3], *DRAWN[:9])}) == 1
    assert (np.asarray(Image.open(io.BytesIO(session.png(DRAWN[5])))) == DRAWN[5, :, :, 0]).all()
    colour = DRAWN[:3, :, :, 0].transpose(1, 2, 0)
    assert (np.asarray(Image.open(io.BytesIO(session.png(colour)))) == colour).all()


def test_what_cannot_be_reviewed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="60 held-out and 80 generated images allow 60"):
        started(tmp_path, 61)
    with pytest.raises(ValueError, match=r"real images are .*, but generated ones"):
        session.start(REAL[:, :4], DRAWN, count=2, seed=0, conditions={}, folder=tmp_path)
    made = started(tmp_path)
    files.write_json(made.path, {"answers": ["yes"]})
    with pytest.raises(ValueError, match="is damaged"):
        started(tmp_path)
