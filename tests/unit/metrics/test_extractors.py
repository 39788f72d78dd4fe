"""Features do not depend on how they are asked for, and no extractor ever stands in for another."""

import hashlib
import importlib.util

import numpy as np
import pytest

from ddpm.metrics import inception
from ddpm.metrics.extractors import ClassifierExtractor, ExtractorError
from ddpm.metrics.inception import InceptionExtractor


def test_features_do_not_depend_on_the_batches_of_the_caller(digits, extractor):
    images = digits[0][:600]
    whole = extractor(images)
    one_by_one = np.concatenate([extractor(images[i : i + 1]) for i in range(0, 600, 37)])
    np.testing.assert_allclose(one_by_one, whole[::37], rtol=1e-6, atol=1e-6)
    uneven = np.concatenate([extractor(images[:1]), extractor(images[1:300]), extractor(images[300:])])
    np.testing.assert_allclose(uneven, whole, rtol=1e-6, atol=1e-6)
    assert extractor(images[:0]).shape == (0, 32)


def test_progress_counts_every_image(digits, extractor):
    counted = []
    extractor(digits[0][:601], counted.append)
    assert sum(counted) == 601


def test_logits_of_features_are_those_of_the_network(digits, extractor, trained):
    import torch

    images = digits[0][:20]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = trained(pixels).detach().numpy()
    np.testing.assert_allclose(extractor.logits(extractor(images)), expected, rtol=1e-4, atol=1e-4)


def test_only_uint8_is_scored(digits, extractor):
    with pytest.raises(ValueError, match=r"float64.*uint8"):
        extractor(digits[0][:5] / 255)


def test_another_image_size_is_refused(extractor):
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*\(28, 28, 1\)"):
        extractor(np.zeros((2, 28, 28, 1), np.uint8))


def test_images_one_by_one_give_the_features_of_the_array(digits, extractor):
    images = digits[0][:260]
    assert np.array_equal(extractor(iter(images)), extractor(images))
    counted = []
    assert extractor(iter(images[:0]), counted.append).shape == (0, 32)
    assert counted == []


def test_a_classifier_with_a_policy_takes_images_of_any_size(digits, extractor, trained):
    resizing = ClassifierExtractor(trained, "a" * 64, resize="clean")
    images = digits[0][:40]
    assert np.array_equal(resizing(images), extractor(images))  # nothing to resize
    large = np.kron(images, np.ones((1, 3, 3, 1), np.uint8))
    mixed = [image for pair in zip(images, large, strict=True) for image in pair]
    np.testing.assert_array_equal(resizing(mixed)[::2], resizing(images))
    np.testing.assert_allclose(resizing(mixed)[1::2], resizing(large), rtol=1e-6, atol=1e-6)
    agree = (resizing.logits(resizing(large)).argmax(1) == digits[1][:40]).mean()
    assert agree > 0.8
    with pytest.raises(ValueError, match=r"\(8, 8, 1\).*\(8, 8, 3\)"):
        resizing(np.repeat(images, 3, axis=3))


def test_inception_weights_are_known_by_their_hash():
    assert inception.SHA256[:8] in inception.FILE
    with pytest.raises(ExtractorError, match=f"have SHA-256 .*{inception.SHA256}.*Download it again"):
        InceptionExtractor(b"something else", "clean")


def test_an_unknown_policy_is_refused():
    with pytest.raises(ExtractorError, match="'bilinear' is not a policy; possible: clean, legacy"):
        InceptionExtractor(b"", "bilinear")


@pytest.mark.skipif(importlib.util.find_spec("torch_fidelity") is not None, reason="torch-fidelity is installed here")
def test_inception_without_its_package_says_how_to_get_it():
    content = b"weights"
    with pytest.raises(ExtractorError, match=r"pip install \.\[inception\].*extractor: auto"):
        InceptionExtractor(content, "clean", sha256=hashlib.sha256(content).hexdigest())
