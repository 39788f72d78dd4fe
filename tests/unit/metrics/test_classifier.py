"""The classifier learns, repeats itself to the bit, and takes images of any size."""

import numpy as np
import pytest
import torch

from ddpm.metrics import classifier
from tests.unit.metrics.conftest import SETTINGS


def test_it_learns_the_digits(digits, extractor):
    images, labels = digits
    predictions = extractor.logits(extractor(images[1400:])).argmax(axis=1)
    assert (predictions == labels[1400:]).mean() > 0.95


def test_equal_training_gives_equal_bits_whatever_the_global_random_state(digits):
    images, labels = digits[0][:200], digits[1][:200]
    settings = SETTINGS | {"budget": 400}
    torch.manual_seed(1)
    first = classifier.train(images, labels, **settings).state_dict()
    torch.manual_seed(2)
    second = classifier.train(images, labels, **settings).state_dict()
    other = classifier.train(images, labels, **settings | {"seed": 1}).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_features_are_standardised_on_the_training_images(digits, extractor):
    features = extractor(digits[0][:1400])
    # Nearly: the statistics were collected on shifted images, along the way.
    assert np.abs(features.mean(axis=0)).mean() < 0.25
    assert np.abs(features.std(axis=0) - 1).mean() < 0.25


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (32, 3), (64, 3), (256, 3)])
def test_images_of_any_size_give_four_times_width_features(side, channels):
    images = np.random.default_rng(0).integers(0, 256, (8, side, side, channels), np.uint8)
    model = classifier.train(images, np.arange(8) % 2, classes=2, width=4, budget=8, batch=4, lr=0.001, seed=0)
    pixels = torch.zeros(3, channels, side, side)
    assert model.features(pixels).shape == (3, 16) == (3, model.dimension)
    assert model(pixels).shape == (3, 2)
    assert not model.training


ALL_SIDES = [
    *range(4, 40),
    48,
    62,
    63,
    64,
    65,
    66,
    95,
    96,
    97,
    100,
    127,
    128,
    129,
    191,
    200,
    255,
    256,
    257,
    512,
    1000,
    1024,
]


def seen(model: classifier.Classifier, side: int) -> torch.Tensor:
    """The pixels (S, S) on which some feature depends for some image: those with a gradient."""
    random = torch.Generator().manual_seed(0)
    found = torch.zeros(side, side, dtype=torch.bool)
    for _ in range(6):
        x = (2 * torch.rand(2, 1, side, side, generator=random) - 1).requires_grad_()
        out = model.features(x)
        (gradient,) = torch.autograd.grad((out * torch.randn(out.shape, generator=random)).sum(), x)
        found |= (gradient != 0).any(0)[0]
    return found


@pytest.mark.parametrize("side", ALL_SIDES)
def test_the_features_depend_on_every_pixel_of_any_allowed_side(side):
    torch.manual_seed(0)
    model = classifier.Classifier(side, 1, 10, 16).eval()
    assert seen(model, side).all()


def test_an_older_classifier_is_rebuilt_as_it_was_trained():
    """A classifier of side 128 skipped pixels; its recorded features are compared with those of a rebuilt one."""
    torch.manual_seed(0)
    model = classifier.Classifier(128, 1, 10, 4, downsampling=classifier.STRIDED).eval()
    old = {key: value for key, value in model.config.items() if key != "downsampling"}
    rebuilt = classifier.from_weights(old, model.state_dict())
    x = torch.rand(2, 1, 128, 128)
    assert torch.equal(rebuilt.features(x), model.features(x))
    assert 0.4 < 1 - seen(rebuilt, 128).float().mean() < 0.5
    assert not torch.equal(classifier.from_weights(model.config | {"downsampling": "antialiased"}, model.state_dict())
                           .features(x), model.features(x))  # fmt: skip


@pytest.mark.parametrize("side", [4, 7, 15, 28, 32])
def test_small_images_are_looked_at_as_before(side):
    """Features are bit-identical, so scores of the default data do not change."""
    torch.manual_seed(0)
    model = classifier.Classifier(side, 1, 10, 8).eval()
    x = torch.rand(3, 1, side, side)
    old = classifier.from_weights(model.config | {"downsampling": classifier.STRIDED}, model.state_dict())
    assert torch.equal(model.features(x), old.features(x))


def test_weights_and_config_rebuild_it(trained):
    rebuilt = classifier.from_weights(trained.config, trained.state_dict())
    pixels = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    assert torch.equal(rebuilt(pixels), trained(pixels))
    with pytest.raises(ValueError, match="do not fit"):
        classifier.from_weights(trained.config | {"width": 12}, trained.state_dict())


def test_fewer_images_than_a_batch_are_refused(digits):
    with pytest.raises(ValueError, match=r"features\.batch = 50 exceeds the 49 training images"):
        classifier.train(digits[0][:49], digits[1][:49], **SETTINGS)


def test_a_loss_that_is_not_finite_stops_the_training(digits):
    with pytest.raises(ValueError, match=r"loss is .* at step .*smaller features\.lr"):
        classifier.train(digits[0][:200], digits[1][:200], **SETTINGS | {"lr": 1e30})


def test_a_shift_moves_whole_images_and_repeats_the_edge():
    image = torch.arange(36.0).reshape(1, 1, 6, 6)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")[0, 0]
    windows = [padded[i : i + 6, j : j + 6] for i in range(3) for j in range(3)]
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        shifted = classifier._shift(image, 1, generator)[0, 0]
        matches = [number for number, window in enumerate(windows) if torch.equal(shifted, window)]
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) == 9
