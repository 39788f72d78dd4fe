"""Weights of random numbers in the layout of the published file, and images to look at."""

import hashlib
import io

import numpy as np
import pytest

pytest.importorskip("torchvision", reason="torchvision is not installed here; `make test-inception` installs it")
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from ddpm.metrics.inception import InceptionExtractor


def blocks():
    """Name, channels in, channels out and kernel of each of the 94 convolutions."""
    yield from [
        ("Conv2d_1a_3x3", 3, 32, (3, 3)), ("Conv2d_2a_3x3", 32, 32, (3, 3)), ("Conv2d_2b_3x3", 32, 64, (3, 3)),
        ("Conv2d_3b_1x1", 64, 80, (1, 1)), ("Conv2d_4a_3x3", 80, 192, (3, 3)),
    ]  # fmt: skip
    for name, inputs, pool in (("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)):
        yield f"{name}.branch1x1", inputs, 64, (1, 1)
        yield from chain(f"{name}.branch5x5_", inputs, (48, (1, 1)), (64, (5, 5)))
        yield from chain(f"{name}.branch3x3dbl_", inputs, (64, (1, 1)), (96, (3, 3)), (96, (3, 3)))
        yield f"{name}.branch_pool", inputs, pool, (1, 1)
    yield "Mixed_6a.branch3x3", 288, 384, (3, 3)
    yield from chain("Mixed_6a.branch3x3dbl_", 288, (64, (1, 1)), (96, (3, 3)), (96, (3, 3)))
    row, column = (1, 7), (7, 1)
    for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        double = ((width, (1, 1)), (width, column), (width, row), (width, column), (192, row))
        yield f"{name}.branch1x1", 768, 192, (1, 1)
        yield from chain(f"{name}.branch7x7_", 768, (width, (1, 1)), (width, row), (192, column))
        yield from chain(f"{name}.branch7x7dbl_", 768, *double)
        yield f"{name}.branch_pool", 768, 192, (1, 1)
    yield from chain("Mixed_7a.branch3x3_", 768, (192, (1, 1)), (320, (3, 3)))
    yield from chain("Mixed_7a.branch7x7x3_", 768, (192, (1, 1)), (192, row), (192, column), (192, (3, 3)))
    for name, inputs in (("Mixed_7b", 1280), ("Mixed_7c", 2048)):
        yield f"{name}.branch1x1", inputs, 320, (1, 1)
        yield f"{name}.branch3x3_1", inputs, 384, (1, 1)
        yield from chain(f"{name}.branch3x3dbl_", inputs, (448, (1, 1)), (384, (3, 3)))
        for branch in ("branch3x3_2", "branch3x3dbl_3"):
            yield f"{name}.{branch}a", 384, 384, (1, 3)
            yield f"{name}.{branch}b", 384, 384, (3, 1)
        yield f"{name}.branch_pool", inputs, 192, (1, 1)


def chain(prefix, inputs, *steps):
    """Convolutions one behind the other, numbered from 1."""
    for number, (outputs, kernel) in enumerate(steps, 1):
        yield f"{prefix}{number}", inputs, outputs, kernel
        inputs = outputs


def random_state(seed=0):
    """The tensors of the published file by name: each with its shape, of numbers that keep activations at size 1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0):
        return scale * torch.randn(*shape, generator=generator)

    state = {}
    for name, inputs, outputs, (height, width) in blocks():
        fan = inputs * height * width
        state[f"{name}.conv.weight"] = normal(outputs, inputs, height, width, scale=(2 / fan) ** 0.5)
        state[f"{name}.bn.weight"] = 1 + normal(outputs, scale=0.1)
        state[f"{name}.bn.bias"] = normal(outputs, scale=0.1)
        state[f"{name}.bn.running_mean"] = normal(outputs, scale=0.1)
        state[f"{name}.bn.running_var"] = 1 + torch.rand(outputs, generator=generator)
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(0)
    state["fc.weight"], state["fc.bias"] = normal(1008, 2048, scale=0.1), normal(1008)
    return state


def saved(state):
    """The content of a file that holds `state`, and its SHA-256."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue(), hashlib.sha256(buffer.getvalue()).hexdigest()


def calibrated(state, images):
    """`state` with the statistics of its normalisations taken from images: so the features of two images differ."""
    network = FeatureExtractorInceptionV3(
        "random", ["2048"], feature_extractor_weights_path=io.BytesIO(saved(state)[0])
    )
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train().momentum = None  # the average of all that passes
    with torch.no_grad():
        network(torch.from_numpy(images).permute(0, 3, 1, 2))
    return dict(network.state_dict())


@pytest.fixture(scope="session")
def images():
    """Real ones and others, uint8 (48, 64, 48, 3)."""
    return np.concatenate([pictures(0, 40, 24), pictures(1, 90, 24)])


@pytest.fixture(scope="session")
def weights(images):
    return saved(calibrated(random_state(), images[::6]))


@pytest.fixture(scope="session")
def weights_file(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    path.write_bytes(weights[0])
    return str(path)


@pytest.fixture(scope="session")
def legacy(weights):
    """The extractor that does what torch-fidelity does, in batches that suit the few images here."""
    return small(InceptionExtractor(weights[0], "legacy", weights[1]))


def small(extractor):
    extractor.batch = 4
    return extractor


def pictures(seed, spread, count):
    """Blocks of noise with a colour and a contrast of their own."""
    random = np.random.default_rng(seed)
    contrast = random.uniform(10, spread, (count, 1, 1, 1))
    colour = random.uniform(60, 200, (count, 1, 1, 3))
    coarse = np.kron(random.normal(size=(count, 8, 6, 3)), np.ones((1, 8, 8, 1)))
    return np.rint(colour + contrast * coarse).clip(0, 255).astype(np.uint8)
