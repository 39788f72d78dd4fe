"""Sheets show every pixel as it is, and equal images give equal bytes."""

import io

import numpy as np
import pytest
from PIL import Image

from ddpm.imaging import sheets
from ddpm.imaging.sheets import SheetRow
from ddpm.report import figures, pictures


def images(count=12, side=28, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize(("side", "channels", "scale"), [(8, 1, 10), (28, 1, 3), (64, 3, 1), (128, 3, 1)])
def test_every_pixel_becomes_a_square(side, channels, scale):
    shown = images(4, side, channels)
    sheet = opened(sheets.grid(shown, 2))
    step = side * scale + sheets.GAP
    assert sheet.shape == (2 * step - sheets.GAP, 2 * step - sheets.GAP, 4)
    for number, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        place = sheet[row * step : row * step + side * scale, column * step : column * step + side * scale]
        expected = np.broadcast_to(shown[number], (side, side, 3)).repeat(scale, 0).repeat(scale, 1)
        np.testing.assert_array_equal(place[:, :, :3], expected)
        assert (place[:, :, 3] == 255).all()
    assert (sheet[:, side * scale : step, 3] == 0).all()


def test_a_grid_shows_the_first_images_even_when_there_are_few():
    for count, rows in ((100, 3), (4, 2)):
        picture = figures.samples(images(count), np.full(count, -1), 3)
        assert opened(picture.png).shape[:2] == (rows * 87 - 3, 3 * 87 - 3)
        assert f"The first {min(count, 9)} images" in picture.caption


def test_real_and_generated_stand_in_the_row_of_their_class():
    real, generated = np.full((6, 8, 8, 1), 50, np.uint8), np.full((4, 8, 8, 1), 200, np.uint8)
    real[3:] += 10
    generated[2:] += 10
    real_labels = np.array([0, 0, -1, 1, 1, -1])  # -1: held out, not shown
    sheet = opened(
        pictures.real_and_generated(real, real_labels, generated, np.array([0, 0, 1, 1]), ["cat", "dog"], columns=3)
    )
    grey = sheet[..., 0] * (sheet[..., 3] == 255)
    rows = [grey[sheets.FONT_SIZE + 10 :][:80], grey[sheets.FONT_SIZE + 10 + 83 :]]
    for row, (ours, theirs) in zip(rows, [(50, 200), (60, 210)], strict=True):
        assert (row == ours).sum() == (row == theirs).sum() == 2 * 80 * 80


def test_unlabelled_images_are_compared_without_rows_of_classes():
    sheet = opened(pictures.real_and_generated(images(9), np.full(9, -1), images(50), np.full(50, -1), ()))
    assert sheet.shape[0] > 8 * 84


def test_strip_and_neighbours_have_a_row_for_each_sample():
    strip = images(12).reshape(3, 4, 28, 28, 1)
    plain = opened(pictures.denoising(strip))
    named = opened(pictures.denoising(strip, ["a", "b", "long name"]))
    assert plain.shape[0] == named.shape[0] == sheets.FONT_SIZE + 10 + 3 * 87 - 3
    assert named.shape[1] > plain.shape[1] == 4 * 87 - 3
    beside = opened(pictures.neighbours(images(2), [images(5), images(5)], [0.0, 12.345]))
    assert beside.shape[0] == sheets.FONT_SIZE + 10 + 2 * 87 - 3


def test_equal_images_give_equal_bytes():
    def draw(seed):
        return pictures.neighbours(images(2, seed=seed), [images(5), images(5)], [1.5, 2])

    assert draw(0) == draw(0) != draw(1)


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one image"):
        sheets.sheet([SheetRow([None])])
