"""Weights that Inception accepts, and the effect of its resize policies."""

import pickle  # to prove that the trap would spring for a reader who unpickles
from pathlib import Path

import numpy as np
import pytest

from ddpm.metrics.extractors import ExtractorError
from ddpm.metrics.frechet import moments
from ddpm.metrics.inception import InceptionExtractor
from ddpm.metrics.record import Reference, score_features
from ddpm.metrics.scoring import Features
from tests.inception.conftest import random_state, saved, small


def test_the_published_layout_has_566_tensors():
    state = random_state()
    assert (len(state), sum(tensor.numel() for tensor in state.values())) == (566, 23_885_486)


def test_another_hash_is_refused(weights):
    with pytest.raises(ExtractorError, match=r"published file .* has 6726825d.*ddpm weights inception"):
        InceptionExtractor(weights[0], "clean")


@pytest.mark.parametrize(("change", "said"), [
    (lambda state: state.pop("Mixed_6e.branch_pool.bn.bias"), r"Missing key.*Mixed_6e\.branch_pool\.bn\.bias"),
    (lambda state: state.update(more=state["fc.bias"]), r"Unexpected key.*more"),
    (lambda state: state.update({"fc.weight": state["fc.weight"][:1000]}), r"size mismatch for fc\.weight"),
])  # fmt: skip
def test_other_names_and_shapes_are_refused_in_words(change, said):
    state = random_state()
    change(state)
    content, sha256 = saved(state)
    with pytest.raises(ExtractorError, match=f"(?s)not those of weights-inception-2015-12-05.*{said}"):
        InceptionExtractor(content, "clean", sha256)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_weights_file_is_not_run(tmp_path):
    content, sha256 = saved({"fc.bias": Malicious(tmp_path / "touched")})
    with pytest.raises(ExtractorError, match="not those of"):
        InceptionExtractor(content, "clean", sha256)
    assert not (tmp_path / "touched").exists()
    pickle.loads(pickle.dumps(Malicious(tmp_path / "touched")))
    assert (tmp_path / "touched").exists()  # the trap is one


def test_policies_differ_by_what_they_resize_only(images, weights, legacy):
    clean = small(InceptionExtractor(weights[0], "clean", weights[1]))
    assert (clean.resize, legacy.resize) == ("clean", "legacy")
    full = np.random.default_rng(0).integers(0, 256, (2, 299, 299, 3), np.uint8)
    assert np.array_equal(clean(full), legacy(full))
    assert np.abs(clean(images[:2]) - legacy(images[:2])).max() > 1e-3


def test_images_of_several_sizes_and_grey_ones_come_one_by_one(images, legacy):
    one, other, grey = images[0], np.ascontiguousarray(images[1].transpose(1, 0, 2)), images[2][:, :, :1]
    found = legacy([one, other, grey])
    np.testing.assert_allclose(found[0], legacy(images[:1])[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[2], legacy(np.repeat(grey, 3, axis=2)[None])[0], rtol=1e-4, atol=1e-6)


def test_scores_carry_the_policy(legacy):
    features = np.random.default_rng(0).normal(size=(120, 2048)).astype(np.float32)
    real = Reference(moments(features[:60]), features[:60], features[:0], {}, (), "c" * 64)
    found = score_features(Features(features[60:]), None, legacy, real, splits=2)
    assert found["conditions"]["resize"] == "legacy"
    assert "class_share_min" not in found
    assert "memorisation_ratio" not in found
    assert found["conditions"]["full_rank"] is False
