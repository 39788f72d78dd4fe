"""Features do not depend on how they are asked for, and no extractor ever stands in for another."""

import hashlib
import importlib.util

import numpy as np
import pytest

from ddpm.metrics.extractors import INCEPTION_FILE, INCEPTION_SHA256, ExtractorError, InceptionExtractor


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


def test_inception_weights_are_known_by_their_hash():
    assert INCEPTION_SHA256[:8] in INCEPTION_FILE
    with pytest.raises(ExtractorError, match=f"have SHA-256 .*{INCEPTION_SHA256}.*Get it again"):
        InceptionExtractor(b"something else")


@pytest.mark.skipif(importlib.util.find_spec("torch_fidelity") is not None, reason="torch-fidelity is installed here")
def test_inception_without_its_package_says_how_to_get_it():
    content = b"weights"
    with pytest.raises(ExtractorError, match=r"pip install \.\[inception\].*extractor: classifier"):
        InceptionExtractor(content, sha256=hashlib.sha256(content).hexdigest())
