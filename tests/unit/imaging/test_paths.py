"""Series as pictures."""

import numpy as np

from ddpm.imaging.paths import HEIGHT, WIDTH, Paths, as_pictures, common_limits, drawn


def inked(picture: np.ndarray, colour: int) -> np.ndarray:
    """Mean height, from the bottom, of the pixels of each picture column that are darker in a colour than the rest."""
    ink = 255 - picture[:, :, colour].astype(float)
    ink[ink < 100] = 0
    return (ink * np.arange(HEIGHT)[::-1, None]).sum(0) / ink.sum(0).clip(min=1)


def test_a_rising_series_rises_and_a_value_beyond_the_limits_stays_inside() -> None:
    line = np.linspace(-1, 1, 30)[:, None]
    heights = inked(drawn(line, np.array([-1.0]), np.array([1.0])), 0)[4:-4]
    assert (np.diff(heights) > 0).all()
    picture = drawn(line * 1000, np.array([-1.0]), np.array([1.0]))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert inked(picture, 0)[-5] > HEIGHT - 8


def test_paths_are_drawn_on_one_scale_where_they_are_looked_at() -> None:
    series = np.random.default_rng(0).standard_normal((50, 16, 2)) * [1, 100]
    paths = Paths(series)
    assert len(paths) == 50
    np.testing.assert_array_equal(paths[[3, 4]][1], paths[4])
    np.testing.assert_array_equal(as_pictures(series)[4], paths[4])
    low, high = common_limits(series)
    np.testing.assert_allclose(high - low, 2 * 3.09 * np.array([1, 100]), rtol=0.15)


def test_images_stay_as_they_are() -> None:
    images = np.zeros((2, 4, 4, 1), np.uint8)
    assert as_pictures(images) is images
    assert as_pictures(np.ones((2, 3, 8, 1), np.float32)).shape == (2, 3, HEIGHT, WIDTH, 3)
