"""An extractor that is declared and not programmed: what it computes, and what it refuses."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ddpm.metrics.extractors import ExtractorError
from ddpm.metrics.own import OwnExtractor

DECLARED = {
    "side": 8, "channels": 3, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "classes": False,
    "layers": [
        {"layer": "conv", "inputs": 3, "outputs": 4, "kernel": 3, "stride": 2, "padding": 1},
        {"layer": "norm", "channels": 4}, {"layer": "relu"}, {"layer": "pool", "side": 2}, {"layer": "flatten"},
        {"layer": "linear", "inputs": 16, "outputs": 6},
    ],
    "head": {"layer": "linear", "inputs": 6, "outputs": 5},
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 6)
    )
    layers[1].running_mean.uniform_()
    return nn.ModuleDict({"layers": layers, "head": nn.Linear(6, 5)}).eval()


@pytest.fixture
def tensors(network):
    return dict(network.state_dict())


def changed(**values):
    return copy.deepcopy(DECLARED) | values


def test_it_computes_what_the_declared_layers_compute(network, tensors):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    own = OwnExtractor(DECLARED, tensors, "clean")
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    scaled = (pixels - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    features = network["layers"](scaled)
    np.testing.assert_allclose(own(images), features.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(own.logits(own(images)), network["head"](features).detach(), rtol=1e-4, atol=1e-5)
    assert (own.name, own.dimension, own.classes, own.resize) == ("own", 6, 0, "clean")
    assert OwnExtractor(changed(classes=True), tensors, "clean").classes == 5


def test_grey_images_of_another_size_are_repeated_and_resized(tensors):
    grey = np.random.default_rng(0).integers(0, 256, (3, 20, 10, 1), np.uint8)
    own = OwnExtractor(DECLARED, tensors, "legacy")
    assert np.array_equal(own(grey), own(np.repeat(grey, 3, axis=3)))
    assert not np.array_equal(own(grey), OwnExtractor(DECLARED, tensors, "clean")(grey))


def test_its_hash_is_over_declaration_and_tensors(tensors):
    first = OwnExtractor(DECLARED, tensors, "clean").sha256
    assert OwnExtractor(dict(reversed(DECLARED.items())), tensors, "clean").sha256 == first
    assert OwnExtractor(changed(mean=[0.5, 0.4, 0.2]), tensors, "clean").sha256 != first
    other = tensors | {"head.bias": tensors["head.bias"] + 1e-3}
    assert OwnExtractor(DECLARED, other, "clean").sha256 != first


@pytest.mark.parametrize(("declared", "said"), [
    (changed(layer=1), "has the keys"), (changed(mean=[0.5]), "a mean and a std above 0"),
    (changed(std=[0.1, 0.0, 0.1]), "a std above 0"), (changed(channels=2), "channels has to be 1 or 3"),
    (changed(layers=[{"layer": "os.system", "inputs": 1}]), "'os.system' is none of conv, norm"),
    (changed(layers=[{"layer": "pool", "side": 2.5}]), "layer pool has {'side': 2.5}; needed: side, as whole numbers"),
    (changed(layers=[{"layer": "relu", "inplace": 1}]), "needed: nothing"),
    (changed(layers=DECLARED["layers"][:4]), "do not fit together"),
    (changed(head={"layer": "linear", "inputs": 7, "outputs": 5}), "do not fit together"),
])  # fmt: skip
def test_a_wrong_declaration_is_refused_in_words(declared, said, tensors):
    with pytest.raises(ExtractorError) as error:
        OwnExtractor(declared, tensors, "clean")
    assert said in str(error.value)


def test_layers_that_give_no_vector_are_refused():
    layers = nn.ModuleDict({"layers": nn.Sequential(nn.ReLU()), "head": nn.Linear(8, 5)})
    declared = changed(layers=[{"layer": "relu"}], head={"layer": "linear", "inputs": 8, "outputs": 5})
    with pytest.raises(ExtractorError, match="one vector per image"):
        OwnExtractor(declared, dict(layers.state_dict()), "clean")


def test_missing_tensors_and_unknown_policies_are_refused(tensors):
    without = {name: tensor for name, tensor in tensors.items() if name != "head.bias"}
    with pytest.raises(ExtractorError, match=r"head\.bias"):
        OwnExtractor(DECLARED, without, "clean")
    with pytest.raises(ExtractorError, match="'none' is no policy"):
        OwnExtractor(DECLARED, tensors, "none")
