"""Images as arrays: tiled and enlarged by whole pixels, and as images of Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from ddpm.imaging import pixels

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 2, 2), (5, 3, 2), (3, 5, 1)])
def test_every_image_has_its_place_and_the_rest_is_grey(channels: int, count: int, columns: int, rows: int) -> None:
    images = RANDOM.integers(0, 256, (count, 4, 6, channels), dtype=np.uint8)
    found = pixels.tile(images, columns, gap=2, between=40)
    assert found.shape == (rows * 6 - 2, columns * 8 - 2, channels)
    for index, image in enumerate(images):
        top, left = divmod(index, columns)
        place = found[6 * top : 6 * top + 4, 8 * left : 8 * left + 6]
        np.testing.assert_array_equal(place, image)
        place[:] = 40
    assert (found == 40).all()


def test_without_gaps_the_images_touch() -> None:
    images = RANDOM.integers(0, 256, (4, 2, 2, 1), dtype=np.uint8)
    expected = np.block([[images[0, :, :, 0], images[1, :, :, 0]], [images[2, :, :, 0], images[3, :, :, 0]]])
    np.testing.assert_array_equal(pixels.tile(images, 2)[:, :, 0], expected)


def test_enlarged_by_whole_pixels() -> None:
    images = RANDOM.integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    expected = np.stack([np.kron(image.transpose(2, 0, 1), np.ones((4, 4), np.uint8)) for image in images])
    np.testing.assert_array_equal(pixels.enlarge(images, 4), expected.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(pixels.enlarge(images[0], 4), pixels.enlarge(images, 4)[0])


@pytest.mark.parametrize(("shape", "mode"), [((4, 6), "L"), ((4, 6, 1), "L"), ((4, 6, 3), "RGB")])
def test_a_png_has_the_same_pixels(shape: tuple[int, ...], mode: str) -> None:
    image = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    opened = Image.open(io.BytesIO(pixels.to_png(image)))
    assert opened.mode == mode
    np.testing.assert_array_equal(np.asarray(opened).reshape(shape), image)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4)])
def test_as_near_to_a_square_as_possible(count: int, columns: int) -> None:
    assert pixels.square_columns(count) == columns
