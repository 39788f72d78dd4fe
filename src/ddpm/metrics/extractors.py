"""From images to features: the interface, and its two implementations.

An extractor is named by the SHA-256 of its weights; the name travels with every score, since scores of different
extractors cannot be compared. There is never a fallback from one to another.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm.metrics.classifier import Classifier

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

Advance = Callable[[int], None]


class ExtractorError(ValueError):
    """An extractor cannot be had here; the message says what to do."""


class Extractor(Protocol):
    """What every score looks at images with. To bring your own, implement these five members."""

    name: str
    sha256: str  # of the weights
    dimension: int  # length D of a feature vector
    classes: int  # length K of the logits; 0 when they are not about the data set's own classes

    def __call__(self, images: NDArray[np.uint8], advance: Advance = ...) -> NDArray[np.float32]:
        """Images uint8 (N, H, W, C) to features (N, D), the same whatever N is; `advance` counts images."""
        ...

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features (N, D) to logits (N, K), whose softmax is what the Inception Score needs."""
        ...


class ClassifierExtractor:
    """The classifier that the features stage trains on the labels."""

    name = "classifier"
    batch = 250

    def __init__(self, model: Classifier, sha256: str, device: str = "cpu") -> None:
        self.model = model.to(device).eval()
        self.sha256 = sha256
        self.dimension = model.dimension
        self.classes = int(model.head.out_features)
        self.device = device

    def __call__(self, images: NDArray[np.uint8], advance: Advance = lambda count: None) -> NDArray[np.float32]:
        """Images uint8 (N, S, S, C) to features (N, D)."""
        side, channels = self.model.config["resolution"], self.model.config["channels"]
        if images.shape[1:] != (side, side, channels):
            raise ValueError(f"the classifier was trained on {(side, side, channels)} images, not {images.shape[1:]}")
        return _in_batches(images, self.batch, self.dimension, self._features, advance)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features (N, D) to logits (N, classes)."""
        return _linear(features, self.model.head.weight, self.model.head.bias)

    def _features(self, images: Tensor) -> Tensor:
        scaled: Tensor = images.to(self.device).float().div(127.5).sub(1)
        return self.model.features(scaled)


class InceptionExtractor:
    """Inception-v3 of 2015-12-05 in torchmetrics and torch-fidelity: the network of published FID and IS.

    Features are its 2,048 pooled activations; images are resized to 299 x 299 inside, bilinear and antialiased, and
    grey ones are repeated over three channels. Logits are "unbiased", as in the published Inception Score.
    """

    name = "inception"
    batch = 50
    dimension = 2048
    classes = 0

    def __init__(self, weights: bytes, sha256: str = INCEPTION_SHA256, device: str = "cpu") -> None:
        """`weights`: the content of the published file. Raises ExtractorError if its hash or a package is wrong."""
        found = hashlib.sha256(weights).hexdigest()
        if found != sha256:
            raise ExtractorError(
                f"the Inception weights have SHA-256 {found}, and the published file {INCEPTION_FILE} has {sha256}. "
                f"Get it again from {INCEPTION_URL}"
            )
        self.sha256 = sha256
        self.device = device
        self.network = _inception_network(weights).to(device)

    def __call__(self, images: NDArray[np.uint8], advance: Advance = lambda count: None) -> NDArray[np.float32]:
        """Images uint8 (N, H, W, 1 or 3) to features (N, 2048)."""
        return _in_batches(images, self.batch, self.dimension, self._features, advance)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features (N, 2048) to unbiased logits (N, 1008)."""
        weight: Any = self.network.get_submodule("fc").weight
        return _linear(features, weight, None)

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images.expand(-1, 3, -1, -1).contiguous().to(self.device))
        return features


def _in_batches(
    images: NDArray[np.uint8], batch: int, dimension: int, features: Callable[[Tensor], Tensor], advance: Advance
) -> NDArray[np.float32]:
    """Features of all images in passes of exactly `batch`, the last one padded.

    Kernels may round differently for another batch size, so the size is the extractor's own and never varies.
    """
    if images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype}; scores are taken of uint8 on both sides, rounded, not truncated")
    result = np.empty((len(images), dimension), np.float32)
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            chunk = images[start : start + batch]
            padded = np.zeros((batch, *images.shape[1:]), np.uint8)
            padded[: len(chunk)] = chunk
            passed = features(torch.from_numpy(padded).permute(0, 3, 1, 2).contiguous())
            result[start : start + batch] = passed[: len(chunk)].cpu().numpy()
            advance(len(chunk))
    return result


def _linear(features: NDArray[np.floating], weight: Tensor, bias: Tensor | None) -> NDArray[np.float64]:
    """A linear layer in float64."""
    matrix = weight.detach().cpu().double().numpy()
    offset = 0.0 if bias is None else bias.detach().cpu().double().numpy()
    result: NDArray[np.float64] = np.asarray(features, np.float64) @ matrix.T + offset
    return result


def _inception_network(weights: bytes) -> nn.Module:
    """torchmetrics' Inception-v3 with these weights. Raises ExtractorError when a package is missing or broken."""
    try:
        import torch_fidelity  # noqa: F401  (torchmetrics only looks whether it is installed; this tells why it fails)
    except (ImportError, RuntimeError) as error:  # a torchvision that does not match torch raises RuntimeError
        raise ExtractorError(
            f"features.extractor = inception needs torch-fidelity and a torchvision that matches torch "
            f"{torch.__version__} ({error}). Install them with `pip install .[inception]`, or use extractor: classifier"
        ) from error
    from torchmetrics.image.fid import NoTrainInceptionV3

    with _weights_only():
        # The path goes to torch.load, which takes a file object too: what was hashed is what is loaded.
        file: Any = io.BytesIO(weights)
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=file)


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """Let torch.load read tensors only: torch-fidelity itself asks for full unpickling, which can run code."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
