"""Domains: shapes and conversions of each row."""

import numpy as np
import pytest
import torch

from ddpm.diffusion.pixels import NotFiniteError
from ddpm.domains import DOMAINS, IMAGES, SERIES, Scale

SCALES = {IMAGES: Scale(), SERIES: Scale((0.0, 1.0, -2.0), (1.0, 2.0, 0.5))}  # exact in float32


@pytest.mark.parametrize("kind", DOMAINS)
def test_decode_is_the_inverse_of_encode(kind: str) -> None:
    domain = DOMAINS[kind](8, 3, SCALES[kind])
    stored = np.random.default_rng(0).integers(0, 256, (5, *domain.stored)).astype(domain.dtype)
    x = domain.encode(torch.from_numpy(stored))
    assert (x.shape, x.dtype) == ((5, *domain.shape), torch.float32)
    back = domain.decode(x)
    assert back.dtype == domain.dtype
    np.testing.assert_array_equal(back, stored)


@pytest.mark.parametrize("kind", DOMAINS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(kind: str, value: float) -> None:
    domain = DOMAINS[kind](4, 3, SCALES[kind])
    x = torch.zeros(1, *domain.shape)
    x[0, 0, -1] = value
    with pytest.raises(NotFiniteError):
        domain.decode(x)


def test_estimates_of_images_stay_in_the_range_of_pixels() -> None:
    domain = DOMAINS[IMAGES](2, 1, Scale())
    assert domain.nearest(torch.tensor([-3.0, -0.5, 2.0])).tolist() == [-1.0, -0.5, 1.0]


def test_the_network_sees_series_standardised_and_channels_first() -> None:
    domain = DOMAINS[SERIES](2, 2, Scale((1.0, -1.0), (2.0, 0.5)))
    stored = torch.tensor([[[3.0, -1.0], [1.0, 0.0]]])  # (1, 2 rows, 2 columns)
    assert domain.encode(stored).tolist() == [[[1.0, 0.0], [0.0, 2.0]]]
    x0 = torch.tensor([-30.0, 2.0])
    assert domain.nearest(x0) is x0


def test_a_scale_of_other_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="2 channels need as many"):
        DOMAINS[SERIES](8, 2, Scale((0.0,), (1.0,)))
