"""The consistency loss against the flow of a Gaussian, which is known exactly, and its boundary at little noise."""

import math

import pytest
import torch
from torch import Tensor, nn

from ddpm.diffusion import consistency, guidance, process
from ddpm.diffusion.denoiser import PREDICTIONS, Denoiser
from ddpm.model import build
from tests.support import tiny
from tests.support.gaussian import MEAN, SPREAD, exact

LEVELS = process.ve_sde(1024, 0.01, 20.0)


class Function(Denoiser):
    """The consistency function of the Gaussian, times a parameter; each pass draws a random number."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), LEVELS, "v", 0.5)
        self.gain = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.drawn: list[float] = []

    def forward(
        self, y: Tensor, sigma: Tensor, labels: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        self.drawn.append(torch.rand(()).item())
        spread = SPREAD / (SPREAD**2 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()
        return self.gain * (MEAN + (y - MEAN) * spread)


def teacher(y: Tensor, sigma: Tensor, labels: Tensor | None, condition: Tensor | None) -> Tensor:
    return torch.cat([exact(each, level.item()) for each, level in zip(y.split(1), sigma, strict=True)])


def losses(student: Denoiser, sigma: Tensor, hops: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = MEAN + SPREAD * torch.randn(len(sigma), 1, 4, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(len(sigma), 1, 4, 4, generator=generator, dtype=torch.float64)
    return consistency.loss(student, x, sigma, noise, None, "edm", teacher=teacher, hops=hops)


def test_the_exact_function_of_a_gaussian_has_an_error_of_second_order() -> None:
    """A hop of half the length is a quarter as wrong: its squared error is a sixteenth."""
    sigma = LEVELS.sigmas[[600, 750, 900]]
    coarse, fine = (losses(Function(), sigma, hops) for hops in (64, 128))
    assert coarse.max() < 1e-3
    torch.testing.assert_close(coarse / fine, torch.full_like(coarse, 16), rtol=0.15, atol=0)
    wrong = Function()
    wrong.gain.data.fill_(1.1)
    wrong_loss = losses(wrong, sigma, 128)
    assert (wrong_loss < 2 * fine).all()  # both ends of a hop have the same error: only the last hop ties f to images
    last = LEVELS.sigmas[[3]]
    assert losses(wrong, last, 128) > 100 * losses(Function(), last, 128)


def test_only_the_upper_end_of_a_hop_is_trained_and_both_have_the_same_dropout() -> None:
    student, sigma = Function(), LEVELS.sigmas[[500]]
    torch.manual_seed(5)
    loss = losses(student, sigma, 16)
    assert student.drawn[0] == student.drawn[1]
    following = torch.rand(()).item()
    torch.manual_seed(5)
    assert [torch.rand(()).item() for _ in range(2)] == [student.drawn[0], following]
    (gradient,) = torch.autograd.grad(loss.sum(), student.gain)
    student.gain.data.add_(1e-6)
    y_only = losses(student, sigma, 16)
    assert gradient.abs() > 0
    assert abs(((y_only - loss) / 1e-6).item()) < 0.5 * gradient.abs().item()  # with both ends moved, hardly a change


def test_a_hop_is_of_equally_many_levels_and_ends_at_zero() -> None:
    table = torch.arange(1.0, 11.0, dtype=torch.float64)
    assert consistency.below(table, table, 5).tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert consistency.below(table, table, 1).tolist() == [0] * 10
    assert consistency.below(table, table, 1000).tolist() == [0, *range(1, 10)]


@pytest.mark.parametrize("name", PREDICTIONS)
def test_every_prediction_but_x0_returns_its_input_where_there_is_no_noise(name: str) -> None:
    row = PREDICTIONS[name](torch.zeros(1, dtype=torch.float64), 0.5)
    assert ((row.skip, row.out) == (1, 0)) == (name != "x0")


def test_the_guided_teacher_is_classifier_free_guidance() -> None:
    torch.manual_seed(0)
    denoiser = build.denoiser(tiny.typed()).eval()
    for parameter in denoiser.parameters():
        nn.init.normal_(parameter, std=0.1)
    y, labels = torch.randn(3, 1, 8, 8), torch.tensor([0, 1, 0])
    sigma = torch.full((3,), 0.7, dtype=torch.float64)
    found = consistency.guided(denoiser, 2, 1.35)(y, sigma, labels, None)
    torch.testing.assert_close(found, guidance.classifier_free(denoiser, labels, 2, 1.35)(y, 0.7))
    plain = consistency.guided(denoiser, 2, 1.0)(y, sigma, labels, None)
    assert torch.equal(plain, denoiser(y, sigma, labels))
    assert not torch.allclose(found, plain)


def test_the_spread_of_the_flow() -> None:
    """The function above is where the flow ends: Euler steps of the exact denoiser arrive there."""
    y, sigmas = torch.full((1, 1, 1, 1), 9.0, dtype=torch.float64), torch.logspace(1, -4, 4000, dtype=torch.float64)
    end = Function()(y, sigmas[:1])
    for sigma, lower in zip(sigmas.tolist(), [*sigmas[1:].tolist(), 0.0], strict=True):
        y = exact(y, sigma) + lower / sigma * (y - exact(y, sigma))
    assert y.item() == pytest.approx(end.item(), abs=1e-3 * math.sqrt(2))
