"""The properties that the table states of each sampler, measured by running it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from ddpm.diffusion.samplers.table import ALWAYS, NEVER, SAMPLERS

STEPS = 6
SIGMAS = torch.tensor([20.0, 9.0, 4.0, 1.5, 0.4, 0.1, 0.0], dtype=torch.float64)


@dataclass
class Counted:
    """A denoiser and a source of noise that count their calls."""

    evaluations: int = 0
    noises: int = 0
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(3))

    def denoise(self, y: Tensor, sigma: float) -> Tensor:
        self.evaluations += 1
        return torch.tanh(y / (1 + sigma**2))  # not linear, so that the images of a batch can affect each other

    def noise(self, step: int) -> Tensor:
        self.noises += 1
        return torch.randn(2, 1, 2, 2, generator=self.generator, dtype=torch.float64)


def drawn(name: str, **options: Any) -> Counted:
    counted = Counted()
    start = 20 * counted.noise(-1)
    counted.noises = 0
    SAMPLERS[name].draw(counted.denoise, start, SIGMAS, counted.noise, **options)
    return counted


@pytest.mark.parametrize("name", SAMPLERS)
def test_evaluations_per_step(name: str) -> None:
    seen, stated = drawn(name).evaluations, SAMPLERS[name].evaluations
    if stated is None:
        assert seen > STEPS
    else:
        corrections = 1 if name.startswith("predictor") else 0
        spared = 1 if name == "heun" else 0  # its last step has one evaluation
        assert seen == (stated + corrections) * STEPS - spared


@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_is_drawn_when_the_table_says_so(name: str) -> None:
    noise = SAMPLERS[name].noise
    if noise == ALWAYS:
        assert drawn(name).noises > 0
        return
    assert drawn(name).noises == 0
    if noise != NEVER:
        assert drawn(name, **{noise: 0.5}).noises > 0


@pytest.mark.parametrize("name", SAMPLERS)
def test_images_of_a_batch_are_independent_when_the_table_says_so(name: str) -> None:
    start = 20 * torch.tensor([[0.3, -1.2], [2.0, 0.1]], dtype=torch.float64).view(2, 1, 1, 2)
    noises = torch.randn(STEPS, 2, 1, 1, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draw = SAMPLERS[name].draw
    together = draw(Counted().denoise, start, SIGMAS, lambda step: noises[step])
    alone = draw(Counted().denoise, start[:1], SIGMAS, lambda step: noises[step, :1])
    assert torch.allclose(together[:1], alone, rtol=0, atol=1e-12) == SAMPLERS[name].batched
