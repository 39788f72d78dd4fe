"""Guidance of Gaussians, whose denoisers are known exactly."""

import math

import pytest
import torch
from torch import Tensor

from ddpm.diffusion import guidance
from ddpm.diffusion.samplers import table as samplers

SPREAD = 0.4
MEANS = torch.tensor([-0.5, 0.5, 0.0], dtype=torch.float64)  # two classes, and what stands for none
LABELS = torch.tensor([0, 1])
Y = torch.tensor([[0.3, -1.0, 2.0], [0.1, 0.4, -0.7]], dtype=torch.float64).view(2, 1, 1, 3)


def gaussian(mean: float | Tensor, spread: float = SPREAD) -> samplers.Denoise:
    """E[x0 | y] for x0 ~ N(mean, spread^2)."""
    return lambda y, sigma: (spread**2 * y + sigma**2 * mean) / (spread**2 + sigma**2)


def model(y: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
    """Classes as Gaussians around MEANS."""
    assert labels is not None
    return gaussian(MEANS[labels].view(-1, 1, 1, 1))(y, sigma[0].item())


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_classifier_free_guidance_moves_the_mean_of_a_class(scale: float) -> None:
    """Linear in the mean: guidance by w is the Gaussian around `none + w (mean - none)`."""
    guided = guidance.classifier_free(model, LABELS, 2, scale)(Y, 2.0)
    torch.testing.assert_close(guided, gaussian(scale * MEANS[LABELS].view(-1, 1, 1, 1))(Y, 2.0))


def test_autoguidance_pushes_away_from_a_model_that_is_too_broad() -> None:
    """In noise sigma, D is linear in y with gain s^2 / (s^2 + sigma^2): guidance extrapolates the gains."""
    strong, weak, sigma, scale = gaussian(0.0, 0.4), gaussian(0.0, 0.8), 0.5, 2.0
    good, bad = 0.16 / (0.16 + 0.25), 0.64 / (0.64 + 0.25)
    guided = guidance.autoguided(strong, weak, scale)(Y, sigma)
    torch.testing.assert_close(guided, (bad + scale * (good - bad)) * Y)
    torch.testing.assert_close(guidance.autoguided(strong, weak, 1.0)(Y, sigma), strong(Y, sigma))


def test_autoguided_samples_are_narrower_than_those_of_the_strong_model() -> None:
    """The probability flow `dy/dsigma = (y - D) / sigma` is linear; its solution is known in closed form.

    With gains s^2 / (s^2 + sigma^2) the flow of one Gaussian scales y by sqrt((s^2 + low^2) / (s^2 + high^2)); the
    exponents of guidance, w and 1 - w, raise the two solutions to powers.
    """
    scale, high, low = 2.0, 20.0, 0.01
    y = torch.tensor([[[[1.0, -2.0]]]], dtype=torch.float64)
    levels = torch.logspace(math.log10(high), math.log10(low), 2001, dtype=torch.float64)
    guided = guidance.autoguided(gaussian(0.0, 0.4), gaussian(0.0, 0.8), scale)
    drawn = samplers.ddim(guided, y, levels, lambda i: torch.zeros_like(y))

    def shrunk(spread: float) -> float:
        return math.sqrt((spread**2 + low**2) / (spread**2 + high**2))

    torch.testing.assert_close(drawn, y * shrunk(0.4) ** scale * shrunk(0.8) ** (1 - scale), rtol=0.01, atol=0)
    assert (drawn.abs() < y.abs() * shrunk(0.4)).all()


def test_outside_its_interval_guidance_is_the_conditional_model_and_one_evaluation() -> None:
    seen: list[int] = []

    def counting(y: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        seen.append(len(y))
        return model(y, sigma, labels)

    plain = guidance.with_labels(counting, LABELS)
    denoise = guidance.guidance_interval(0.5, 2.0, guidance.classifier_free(counting, LABELS, 2, 3.0), plain)
    means = MEANS[LABELS].view(-1, 1, 1, 1)
    for sigma, factor, images in ((0.49, 1, 2), (0.5, 3, 4), (2.0, 3, 4), (2.01, 1, 2)):
        torch.testing.assert_close(denoise(Y, sigma), gaussian(factor * means)(Y, sigma))
        assert seen.pop() == images


def test_rescaling_gives_guided_estimates_the_contrast_of_the_unguided_ones() -> None:
    """Lin et al. 2024: all the way (1) the standard deviation is that of the conditional estimate, halfway the mean."""
    good = torch.randn(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bad = torch.tensor([0.2, -0.5], dtype=torch.float64).view(2, 1, 1, 1) * good
    guided = guidance.apply_guidance(good, bad, 3.0)
    torch.testing.assert_close(guidance.apply_guidance(good, bad, 3.0, 1.0).std((1, 2, 3)), good.std((1, 2, 3)))
    torch.testing.assert_close(
        guidance.apply_guidance(good, bad, 3.0, 0.5), (guided + guidance.apply_guidance(good, bad, 3.0, 1.0)) / 2
    )
    # here guided = (3 - 2 * share) * good, so that rescaling gives back `good` itself
    torch.testing.assert_close(guidance.apply_guidance(good, bad, 3.0, 1.0), good)


def test_rescaling_reaches_through_both_kinds_of_guidance() -> None:
    means = MEANS[LABELS].view(-1, 1, 1, 1)
    by_label = guidance.classifier_free(model, LABELS, 2, 3.0, 1.0)(Y, 1.0)
    by_model = guidance.autoguided(gaussian(means), gaussian(0.0), 3.0, 1.0)(Y, 1.0)
    torch.testing.assert_close(by_label, by_model)
    torch.testing.assert_close(by_label.std((1, 2, 3)), gaussian(means)(Y, 1.0).std((1, 2, 3)))


def test_clamped_keeps_the_estimate_inside() -> None:
    inside = guidance.clip_x0(lambda y, sigma: y)
    assert inside(torch.tensor([-3.0, 0.5, 2.0]), 1.0).tolist() == [-1.0, 0.5, 1.0]
