"""Feature extractors: the interface, and the classifier that the features stage trains.

An extractor is named by the SHA-256 of its weights; the name travels with every score, since scores of different
extractors cannot be compared. There is never a fallback from one to another.
"""

import hashlib
import io
import pickle  # only for the name of the error that torch.load raises for content that is not a tensor
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.metrics.classifier import Classifier
from ddpm.metrics.resize import POLICIES, to_side

Advance = Callable[[int], None]
Images = NDArray[np.uint8] | Iterable[NDArray[np.uint8]]
"""An array (N, H, W, C), or one image (H, W, C) after the other, of any sizes where the extractor resizes them."""

AS_IT_IS = "none"  # the policy of an extractor that does not resize


class ExtractorError(ValueError):
    """An extractor cannot be had here; the message says what to do."""


class Extractor(Protocol):
    """What every score looks at images with. To bring your own in code, implement these six members."""

    name: str
    sha256: str  # of the weights
    dimension: int  # length D of a feature vector
    classes: int  # length K of the logits; 0 when they are not about the data set's own classes
    resize: str  # how images come to its side: none (others are refused), clean or legacy

    def __call__(self, images: Images, advance: Advance = ...) -> NDArray[np.float32]:
        """Images uint8, C = 1 or 3, to features (N, D), the same whatever N is; `advance` counts images."""
        ...

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features (N, D) to logits (N, K), whose softmax the Inception Score needs; K = 0 if there are none."""
        ...


class SpatialExtractor(Extractor, Protocol):
    """An extractor that also knows where in an image its features are: what sFID is taken of."""

    def spatial(self, images: Images, advance: Advance = ...) -> NDArray[np.float32]:
        """Images uint8, C = 1 or 3, to spatial features (N, D')."""
        ...


class ClassifierExtractor:
    """The classifier that the features stage trains on the labels."""

    name = "classifier"
    batch = 250

    def __init__(self, model: Classifier, sha256: str, device: str = "cpu", resize: str = AS_IT_IS) -> None:
        self.model = model.to(device).eval()
        self.sha256 = sha256
        self.dimension = model.dimension
        self.classes = int(model.head.out_features)
        self.device = device
        self.resize = resize
        self.side, self.channels = model.config["resolution"], model.config["channels"]

    def __call__(self, images: Images, advance: Advance = lambda count: None) -> NDArray[np.float32]:
        """Images uint8 (N, S, S, C), or of any size where it resizes, to features (N, D)."""
        return in_batches(images, self.batch, self.dimension, self._prepared, self._features, advance)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features (N, D) to logits (N, classes)."""
        return linear(features, self.model.head.weight, self.model.head.bias)

    def _prepared(self, images: NDArray[np.uint8]) -> Tensor:
        shape = (self.side, self.side, self.channels)
        fits = images.shape[1:] == shape if self.resize not in POLICIES else images.shape[3] == self.channels
        if not fits:
            raise ValueError(f"the classifier was trained on {shape} images, not {images.shape[1:]}")
        planes = as_planes(images)
        return to_side(planes, self.side, self.resize) if self.resize in POLICIES else planes.float()

    def _features(self, images: Tensor) -> Tensor:
        return self.model.features(images.to(self.device).div(127.5).sub(1))


def as_planes(images: NDArray[np.uint8]) -> Tensor:
    """Images (B, H, W, C) to a tensor (B, C, H, W) of the same values. Raises ValueError for another type than uint8.

    So whatever made the images has to round them to uint8 first, for both sides alike.
    """
    if images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype}; scores are taken of uint8 on both sides, rounded, not truncated")
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous()


def to_colour(images: NDArray[np.uint8], side: int, policy: str) -> Tensor:
    """Images (B, H, W, C), C = 1 or 3, to float32 (B, 3, side, side) in 0..255; grey is repeated."""
    return to_side(as_planes(images), side, policy).expand(-1, 3, -1, -1)


def require_policy(resize: str) -> None:
    """Raise ExtractorError for an unknown resize policy."""
    if resize not in POLICIES:
        raise ExtractorError(f"resize = {resize!r} is not a policy; possible: {', '.join(POLICIES)}")


def require_published(weights: bytes, file: str, sha256: str, remedy: str) -> None:
    """Raise ExtractorError for other content than the published weights file."""
    found = hashlib.sha256(weights).hexdigest()
    if found != sha256:
        raise ExtractorError(f"the weights have SHA-256 {found}, but the published file {file} has {sha256}. {remedy}")


def published_tensors(weights: bytes, file: str) -> dict[str, Tensor]:
    """Read the tensors of a published state dict; content that is not a tensor is refused. Raises ExtractorError."""
    try:
        state: dict[str, Tensor] = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise ExtractorError(f"the weights are not those of {file}: {error}") from error
    return state


def in_batches(
    images: Images,
    batch: int,
    dimension: int,
    prepared: Callable[[NDArray[np.uint8]], Tensor],
    features: Callable[[Tensor], Tensor],
    advance: Advance,
) -> NDArray[np.float32]:
    """Features (N, D) of all images, `prepared` and then looked at in passes of exactly `batch`, the last one padded.

    Kernels may round differently for another batch size, so the size is the extractor's own and never varies. Images
    that come one by one are prepared one by one, so only a batch of them is held.
    """
    parts = [np.empty((0, dimension), np.float32)]
    with torch.inference_mode():
        for chunk in _chunks(images, batch, prepared):
            padded = torch.zeros(batch, *chunk.shape[1:])
            padded[: len(chunk)] = chunk
            parts.append(features(padded)[: len(chunk)].cpu().numpy())
            advance(len(chunk))
    return np.concatenate(parts)


def _chunks(images: Images, batch: int, prepared: Callable[[NDArray[np.uint8]], Tensor]) -> Iterator[Tensor]:
    """Prepared images, `batch` at a time."""
    if isinstance(images, np.ndarray):
        for start in range(0, len(images), batch):
            yield prepared(images[start : start + batch])
        return
    remaining = iter(images)
    while chunk := [prepared(image[None]) for image in islice(remaining, batch)]:
        yield torch.cat(chunk)


def linear(features: NDArray[np.floating], weight: Tensor, bias: Tensor | None) -> NDArray[np.float64]:
    """A linear layer in float64."""
    matrix = weight.detach().cpu().double().numpy()
    offset = 0.0 if bias is None else bias.detach().cpu().double().numpy()
    result: NDArray[np.float64] = np.asarray(features, np.float64) @ matrix.T + offset
    return result
