"""The two policies against Pillow, and against what TensorFlow's rule gives by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm.metrics.resize import POLICIES, to_side

SIZES = [(28, 28, 299), (400, 300, 299), (31, 17, 8), (64, 48, 64), (5, 7, 6)]


def noise(height, width):
    values = np.random.default_rng(height + width).integers(0, 256, (3, 2, height, width), np.uint8)
    return torch.from_numpy(values)


@pytest.mark.parametrize(("height", "width", "side"), SIZES)
def test_clean_is_pillows_bicubic_on_float_planes_clipped_and_not_rounded(height, width, side):
    images = noise(height, width)
    planes = images.flatten(0, 1).numpy().astype(np.float32)
    resized = [Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC) for plane in planes]
    expected = np.stack([np.asarray(plane).clip(0, 255) for plane in resized]).reshape(3, 2, side, side)
    found = to_side(images, side, "clean").numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert found.dtype == np.float32
    assert (found != found.round()).mean() > 0.5


def test_clean_averages_what_it_makes_smaller_and_legacy_picks_single_pixels():
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 255
    assert to_side(stripes, 16, "clean")[..., 2:-2].std() < 1  # edges see one stripe more
    assert to_side(stripes, 16, "legacy").unique().tolist() == [255]


def test_legacy_takes_pixel_i_at_i_times_the_ratio():
    row = torch.tensor([[[[0, 100, 200]]]], dtype=torch.uint8).expand(1, 1, 3, 3)
    found = to_side(row, 4, "legacy")
    # Places 0, 0.75, 1.5 and 2.25; beyond the last pixel its value stays.
    torch.testing.assert_close(found[0, 0], torch.tensor([0.0, 75, 150, 200]).expand(4, 4))
    torch.testing.assert_close(to_side(row.mT, 4, "legacy"), found.mT)


@pytest.mark.parametrize("policy", POLICIES)
def test_images_of_the_side_keep_their_values_to_the_bit(policy):
    images = noise(12, 12)
    assert torch.equal(to_side(images, 12, policy), images.float())
    assert torch.equal(POLICIES[policy](images, 12), images.float())


def test_an_unknown_policy_is_never_replaced():
    with pytest.raises(KeyError, match="bilinear"):
        to_side(noise(4, 4), 4, "bilinear")
