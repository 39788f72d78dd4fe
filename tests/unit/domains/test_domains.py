"""Domains: shapes and conversions of each row."""

import numpy as np
import pytest
import torch

from ddpm.diffusion.pixels import NotFiniteError
from ddpm.domains import DOMAINS, IMAGES


@pytest.mark.parametrize("kind", DOMAINS)
def test_decode_is_the_inverse_of_encode(kind: str) -> None:
    domain = DOMAINS[kind](8, 3)
    stored = np.random.default_rng(0).integers(0, 256, (5, *domain.stored)).astype(domain.dtype)
    x = domain.encode(torch.from_numpy(stored))
    assert (x.shape, x.dtype) == ((5, *domain.shape), torch.float32)
    back = domain.decode(x)
    assert back.dtype == domain.dtype
    np.testing.assert_array_equal(back, stored)


@pytest.mark.parametrize("kind", DOMAINS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(kind: str, value: float) -> None:
    domain = DOMAINS[kind](4, 1)
    x = torch.zeros(1, *domain.shape)
    x[0, 0, -1] = value
    with pytest.raises(NotFiniteError):
        domain.decode(x)


def test_estimates_of_images_stay_in_the_range_of_pixels() -> None:
    domain = DOMAINS[IMAGES](2, 1)
    assert domain.nearest(torch.tensor([-3.0, -0.5, 2.0])).tolist() == [-1.0, -0.5, 1.0]
