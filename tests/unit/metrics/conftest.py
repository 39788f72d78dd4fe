"""The 8x8 digits, and an extractor that has learnt them."""

import numpy as np
import pytest
import sklearn.datasets

from ddpm.metrics import classifier
from ddpm.metrics.extractors import ClassifierExtractor

SETTINGS = {"classes": 10, "width": 8, "budget": 12_000, "batch": 50, "lr": 0.01, "seed": 0}


@pytest.fixture(scope="session")
def digits():
    """Images uint8 (1797, 8, 8, 1) and labels, shuffled."""
    found = sklearn.datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = np.rint(found.images * 255 / 16).astype(np.uint8)[order, :, :, None]
    return images, found.target.astype(np.int64)[order]


@pytest.fixture(scope="session")
def trained(digits):
    """A classifier trained on the first 1,400."""
    images, labels = digits
    return classifier.train(images[:1400], labels[:1400], **SETTINGS)


@pytest.fixture(scope="session")
def extractor(trained):
    return ClassifierExtractor(trained, sha256="a" * 64)
