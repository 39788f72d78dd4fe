"""The table of predictions, the time of a sigma, and the one loss."""

import pytest
import torch
from torch import Tensor, nn

from ddpm.diffusion import schedule
from ddpm.diffusion.denoiser import PREDICTIONS, WEIGHTINGS, Denoiser

SIGMAS = schedule.sigmas(schedule.betas("linear", 1000))


class Oracle(nn.Module):
    """A network that puts out a given tensor and remembers what it was given."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        self.x, self.time, self.labels = x, time, labels
        return self.output


def draw(batch: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(batch, 1, 4, 4, generator=generator, dtype=torch.float64) * 2 - 1
    noise = torch.randn(batch, 1, 4, 4, generator=generator, dtype=torch.float64)
    return x, noise, torch.tensor([0, 1, 250, 500, 750, 999])


def textbook_output(prediction: str, x: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What a perfect network puts out, in the coordinates of the papers."""
    signal, spread = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    return {"eps": noise, "x0": x, "v": signal * noise - spread * x}[prediction]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_perfect_output_of_the_papers_gives_zero_loss_and_the_clean_image(prediction: str) -> None:
    x, noise, step = draw()
    alpha_bar = (1 / (1 + SIGMAS[step] ** 2)).view(-1, 1, 1, 1)
    net = Oracle(textbook_output(prediction, x, noise, alpha_bar))
    denoiser = Denoiser(net, SIGMAS, prediction, 0.5)
    assert denoiser.loss(x, step, noise, None, "output").max() < 1e-20
    torch.testing.assert_close(net.x, alpha_bar.sqrt() * x + (1 - alpha_bar).sqrt() * noise)
    y = x + SIGMAS[step].view(-1, 1, 1, 1) * noise
    torch.testing.assert_close(denoiser(y, SIGMAS[step]), x, rtol=1e-9, atol=1e-9)


def test_edm_row_is_karras_table_1() -> None:
    sigma, data = torch.tensor([0.02, 1.0, 80.0], dtype=torch.float64), 0.5
    row = PREDICTIONS["edm"](sigma, data)
    torch.testing.assert_close(row.skip, data**2 / (sigma**2 + data**2))
    torch.testing.assert_close(row.out, sigma * data / (sigma**2 + data**2).sqrt())
    torch.testing.assert_close(row.scale, 1 / (sigma**2 + data**2).sqrt())


@pytest.mark.parametrize("prediction", list(PREDICTIONS))
def test_noise_weighting_is_the_squared_error_of_the_noise(prediction: str) -> None:
    x, noise, step = draw()
    output = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    denoiser = Denoiser(Oracle(output), SIGMAS, prediction, 0.5)
    sigma = SIGMAS[step].view(-1, 1, 1, 1)
    y = x + sigma * noise
    implied_noise = (y - denoiser(y, SIGMAS[step])) / sigma
    expected = (implied_noise - noise).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(denoiser.loss(x, step, noise, None, "noise"), expected, rtol=1e-6, atol=1e-10)


def test_eps_with_either_weighting_is_ho_equation_14() -> None:
    x, noise, step = draw()
    output = torch.zeros_like(x)
    denoiser = Denoiser(Oracle(output), SIGMAS, "eps", 0.5)
    for weighting in WEIGHTINGS:
        expected = noise.square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(denoiser.loss(x, step, noise, None, weighting), expected)


def test_time_is_exact_on_the_table_and_monotone_between() -> None:
    denoiser = Denoiser(Oracle(torch.zeros(1)), SIGMAS, "eps", 0.5)
    assert denoiser.time(SIGMAS).tolist() == list(range(1000))
    middle = (SIGMAS[10] * SIGMAS[11]).sqrt().view(1)
    assert denoiser.time(middle).item() == pytest.approx(10.5)
    assert denoiser.time(torch.tensor([1e-9, 1e9])).tolist() == [0, 999]


def test_in_float32_the_loss_keeps_its_precision_at_the_largest_sigma() -> None:
    sigmas = schedule.sigmas(schedule.betas("cosine", 1000))
    x, noise, _ = draw()
    step = torch.full((6,), 999)
    for prediction in PREDICTIONS:
        output = torch.ones_like(x)
        exact = Denoiser(Oracle(output), sigmas, prediction, 0.5).loss(x, step, noise, None, "output")
        rounded = Denoiser(Oracle(output.float()), sigmas, prediction, 0.5).loss(
            x.float(), step, noise.float(), None, "output"
        )
        torch.testing.assert_close(rounded.double(), exact, rtol=1e-5, atol=1e-6)
