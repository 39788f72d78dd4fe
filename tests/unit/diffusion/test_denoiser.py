"""The table of predictions, the time of a sigma, and the one loss."""

import pytest
import torch
from torch import Tensor, nn

from ddpm.diffusion import process, variational
from ddpm.diffusion.denoiser import PREDICTIONS, VARIATIONAL_WEIGHT, WEIGHTINGS, Denoiser

CHAIN = process.ddpm(1000, "linear", 1e-4, 0.02)
SIGMAS = CHAIN.sigmas


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
    """Return the output of a perfect network, in the coordinates of the papers."""
    signal, spread = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    return {"eps": noise, "x0": x, "v": signal * noise - spread * x}[prediction]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_perfect_output_of_the_papers_gives_zero_loss_and_the_clean_image(prediction: str) -> None:
    x, noise, step = draw()
    alpha_bar = (1 / (1 + SIGMAS[step] ** 2)).view(-1, 1, 1, 1)
    net = Oracle(textbook_output(prediction, x, noise, alpha_bar))
    denoiser = Denoiser(net, CHAIN, prediction, 0.5)
    assert denoiser.loss(x, SIGMAS[step], noise, None, "output").max() < 1e-20
    torch.testing.assert_close(net.x, alpha_bar.sqrt() * x + (1 - alpha_bar).sqrt() * noise)
    y = x + SIGMAS[step].view(-1, 1, 1, 1) * noise
    torch.testing.assert_close(denoiser(y, SIGMAS[step]), x, rtol=1e-9, atol=1e-9)


def test_edm_row_is_karras_table_1() -> None:
    sigma, data = torch.tensor([0.02, 1.0, 80.0], dtype=torch.float64), 0.5
    row = PREDICTIONS["edm"](sigma, data)
    torch.testing.assert_close(row.skip, data**2 / (sigma**2 + data**2))
    torch.testing.assert_close(row.out, sigma * data / (sigma**2 + data**2).sqrt())
    torch.testing.assert_close(row.scale, 1 / (sigma**2 + data**2).sqrt())


def test_flow_row_predicts_the_velocity_of_the_straight_line() -> None:
    """The perfect output is `eps - x0` of the input `(1 - t) x0 + t eps`, and D is `x_t - t F` (Liu et al. 2023)."""
    x, noise, step = draw()
    levels = process.flow(1000)
    sigma = levels.sigmas[step]
    t = (sigma / (1 + sigma)).view(-1, 1, 1, 1)
    net = Oracle(noise - x)
    denoiser = Denoiser(net, levels, "flow", 0.5)
    assert denoiser.loss(x, sigma, noise, None, "output").max() < 1e-20
    torch.testing.assert_close(net.x, (1 - t) * x + t * noise)
    torch.testing.assert_close(denoiser(x + sigma.view(-1, 1, 1, 1) * noise, sigma), x, rtol=1e-9, atol=1e-9)
    net.output = torch.zeros_like(x)  # flow matching: the plain squared error of the velocity
    expected = (noise - x).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(denoiser.loss(x, sigma, noise, None, "output"), expected)


def test_flow_with_the_exact_velocity_of_a_gaussian_is_its_exact_denoiser() -> None:
    """For x0 ~ N(m, c): E[eps - x0 | x_t] in closed form gives the posterior mean m + c / (c + sigma^2) (y - m)."""
    mean, variance = 0.3, 0.2
    sigma = process.flow(1000).sigmas[torch.tensor([0, 300, 900, 999])]
    t = (sigma / (1 + sigma)).view(-1, 1, 1, 1)
    spread = (1 - t) ** 2 * variance + t**2  # of x_t
    y = torch.linspace(-2, 2, 16, dtype=torch.float64).view(1, 1, 4, 4).expand(4, 1, 4, 4) * (
        1 + sigma.view(-1, 1, 1, 1)
    )
    velocity = (t - (1 - t) * variance) / spread * ((1 - t) * y - (1 - t) * mean) - mean
    denoiser = Denoiser(Oracle(velocity), process.flow(1000), "flow", 0.5)
    exact = mean + variance / (variance + sigma.view(-1, 1, 1, 1) ** 2) * (y - mean)
    torch.testing.assert_close(denoiser(y, sigma), exact)


@pytest.mark.parametrize("prediction", list(PREDICTIONS))
def test_simple_weighting_is_the_squared_error_of_the_noise(prediction: str) -> None:
    x, noise, step = draw()
    output = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    denoiser = Denoiser(Oracle(output), CHAIN, prediction, 0.5)
    sigma = SIGMAS[step].view(-1, 1, 1, 1)
    y = x + sigma * noise
    implied_noise = (y - denoiser(y, SIGMAS[step])) / sigma
    expected = (implied_noise - noise).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(denoiser.loss(x, SIGMAS[step], noise, None, "simple"), expected, rtol=1e-6, atol=1e-10)


def test_eps_with_simple_or_output_weighting_is_ho_equation_14() -> None:
    x, noise, step = draw()
    denoiser = Denoiser(Oracle(torch.zeros_like(x)), CHAIN, "eps", 0.5)
    for weighting in ("simple", "snr", "output"):
        expected = noise.square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(denoiser.loss(x, SIGMAS[step], noise, None, weighting), expected)


def test_the_score_prediction_is_denoising_score_matching() -> None:
    """Song et al. 2021, equation 7, with lambda = sigma^2: the score of N(y; x, sigma^2) is (x - y) / sigma^2."""
    x, noise, step = draw()
    output = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    denoiser = Denoiser(Oracle(output), CHAIN, "score", 0.5)
    sigma = SIGMAS[step].view(-1, 1, 1, 1)
    y = x + sigma * noise
    score, target = output / sigma, (x - y) / sigma**2
    expected = (sigma**2 * (score - target) ** 2).mean(dim=(1, 2, 3))
    torch.testing.assert_close(denoiser.loss(x, SIGMAS[step], noise, None, "simple"), expected)
    torch.testing.assert_close((denoiser(y, SIGMAS[step]) - y) / sigma**2, score)


def published_weight(weighting: str, snr: Tensor) -> Tensor:
    """Return the published weight of the squared error of x0; sigma_data is 0.5."""
    return {
        "simple": snr,
        "snr": snr,
        "truncated-snr": torch.maximum(snr, torch.ones_like(snr)),
        "min-snr": torch.minimum(snr, torch.full_like(snr, 5.0)),
        "p2": snr / (1 + snr),
        "edm": snr + 1 / 0.25,
    }[weighting]


@pytest.mark.parametrize("weighting", [name for name in WEIGHTINGS if name != "output"])
@pytest.mark.parametrize("prediction", list(PREDICTIONS))
def test_weightings_weigh_the_error_of_the_image_as_published(weighting: str, prediction: str) -> None:
    x, noise, step = draw()
    output = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    denoiser = Denoiser(Oracle(output), CHAIN, prediction, 0.5)
    sigma = SIGMAS[step]
    error = denoiser(x + sigma.view(-1, 1, 1, 1) * noise, sigma) - x
    expected = published_weight(weighting, sigma**-2) * error.square().mean(dim=(1, 2, 3))
    found = denoiser.loss(x, sigma, noise, None, weighting)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-10)


def test_learned_variance_adds_the_bound_and_leaves_the_mean_to_the_simple_loss() -> None:
    """L_hybrid, Nichol and Dhariwal 2021, equation 16: the bound's gradient reaches the variance only."""
    x, noise, step = draw()
    x = ((x + 1) * 127.5).round() / 127.5 - 1
    output = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sigma = SIGMAS[step]
    plain = output[:, :1].clone().requires_grad_()
    simple = Denoiser(Oracle(plain), CHAIN, "eps", 0.5).loss(x, sigma, noise, None, "simple")
    simple.sum().backward()
    both = output.clone().requires_grad_()
    denoiser = Denoiser(Oracle(both), CHAIN, "eps", 0.5)
    hybrid = denoiser.loss(x, sigma, noise, None, "simple")
    hybrid.sum().backward()
    torch.testing.assert_close(both.grad[:, :1], plain.grad)
    assert (both.grad[:, 1:].abs().amax(dim=(1, 2, 3)) > 0).all()
    estimate, fraction = denoiser.with_variance(x + sigma.view(-1, 1, 1, 1) * noise, sigma)
    terms = variational.step_terms(x, estimate, fraction, sigma, SIGMAS) / torch.tensor(2.0).log()
    torch.testing.assert_close(hybrid - simple, VARIATIONAL_WEIGHT * 1000 * terms, rtol=1e-5, atol=1e-9)


def test_a_model_with_fixed_variance_has_none_to_give() -> None:
    x, _, step = draw()
    with pytest.raises(ValueError, match="fixed variance"):
        Denoiser(Oracle(x), CHAIN, "eps", 0.5).with_variance(x, SIGMAS[step])


def test_the_condition_reaches_the_network_beside_the_noisy_image() -> None:
    x, noise, step = draw()
    net = Oracle(torch.zeros_like(x))
    denoiser = Denoiser(net, CHAIN, "eps", 0.5)
    known = torch.rand_like(x)
    denoiser.loss(x, SIGMAS[step], noise, None, "simple", known)
    trained_on = net.x
    denoiser(x + SIGMAS[step].view(-1, 1, 1, 1) * noise, SIGMAS[step], None, known)
    assert trained_on.shape[1] == 2
    torch.testing.assert_close(trained_on[:, 1:], known)
    torch.testing.assert_close(net.x, trained_on)


def test_in_float32_the_loss_keeps_its_precision_at_the_largest_sigma() -> None:
    chain = process.ddpm(1000, "cosine", 1e-4, 0.02)
    x, noise, _ = draw()
    sigma = chain.sigmas[-1].expand(6)
    for prediction in PREDICTIONS:
        output = torch.ones_like(x)
        exact = Denoiser(Oracle(output), chain, prediction, 0.5).loss(x, sigma, noise, None, "output")
        rounded = Denoiser(Oracle(output.float()), chain, prediction, 0.5).loss(
            x.float(), sigma, noise.float(), None, "output"
        )
        torch.testing.assert_close(rounded.double(), exact, rtol=1e-5, atol=1e-6)
