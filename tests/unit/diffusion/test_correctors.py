"""Langevin correctors against a Gaussian whose denoiser is known exactly."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ddpm.diffusion.samplers import table as samplers
from tests.support.gaussian import HIGH, LOW, MEAN, SPREAD, exact, geometric

Draw = Callable[..., Tensor]


PAIRS = [samplers.predictor_corrector, samplers.predictor_corrector_ve]


@pytest.mark.parametrize("draw", PAIRS)
@pytest.mark.parametrize("variance", ["small", "reverse-diffusion"])
def test_the_corrector_brings_the_law_nearer(draw: Draw, variance: str) -> None:
    """One image of many independent values estimates mean and standard deviation to 0.5 %."""
    count = 50_000
    generator = torch.Generator().manual_seed(0)
    y = MEAN + math.hypot(SPREAD, HIGH) * torch.randn(1, count, dtype=torch.float64, generator=generator)

    def noise(step: int) -> Tensor:
        return torch.randn(1, count, dtype=torch.float64, generator=generator)

    def error(corrections: int) -> float:
        drawn = draw(exact, y, geometric(40), noise, variance=variance, corrections=corrections)
        assert drawn.mean().item() == pytest.approx(MEAN, abs=0.005)
        return abs(drawn.std().item() - math.hypot(SPREAD, LOW))

    assert error(0) > 0.02
    assert error(2) < error(0) / 2


def test_a_corrected_image_does_not_depend_on_its_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    noises = torch.randn(40, 3, 4, dtype=torch.float64, generator=generator)
    y = HIGH * torch.randn(3, 4, dtype=torch.float64, generator=generator)

    def drawn(rows: slice) -> Tensor:
        left = iter(noises[:, rows])
        return samplers.predictor_corrector(exact, y[rows], geometric(10), lambda i: next(left), corrections=2)

    torch.testing.assert_close(drawn(slice(0, 3))[1:2], drawn(slice(1, 2)), rtol=1e-12, atol=0)
