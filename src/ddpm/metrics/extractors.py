"""Feature extractors: the interface, and the classifier that the features stage trains.

An extractor is identified by the SHA-256 of its weights, which is stored with every score, since scores of different
extractors cannot be compared. There is no fallback from one to another.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm.metrics.classifier import Classifier
from ddpm.metrics.resize import POLICIES, to_side

M = TypeVar("M", bound=nn.Module)
Advance = Callable[[int], None]
Images = NDArray[Any] | Iterable[NDArray[Any]]
"""Images (N, H, W, C), or an iterable of them, of any sizes if the extractor resizes; or series (N, L, C)."""

AS_IT_IS = "none"  # policy of an extractor that does not resize


class ExtractorError(ValueError):
    """An extractor is not available; the message gives the remedy."""


class Extractor(Protocol):
    """Maps images or series to the features that scores are computed from. A custom one implements these members."""

    name: str
    sha256: str  # of the weights
    dimension: int  # length D of a feature vector
    classes: int  # length K of the logits; 0 if they are not those of the data set's classes
    resize: str  # policy for images of other sizes: none (refused), clean or legacy

    def __call__(self, images: Images, advance: Advance = ...) -> NDArray[np.float32]:
        """Map images uint8, C = 1 or 3, to features (N, D), independent of N; `advance` counts images."""
        ...

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map features (N, D) to the logits (N, K) of the Inception Score; K = 0 if there are none."""
        ...


class SpatialExtractor(Extractor, Protocol):
    """An extractor with spatial features, for sFID."""

    def spatial(self, images: Images, advance: Advance = ...) -> NDArray[np.float32]:
        """Map images uint8, C = 1 or 3, to spatial features (N, S)."""
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
        """Map images uint8 (N, S, S, C), or of any size if it resizes, to features (N, D)."""
        return in_batches(images, self.batch, self.dimension, self._prepared, self._features, advance)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map features (N, D) to logits (N, classes)."""
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


class PublishedExtractor:
    """Base of extractors with published weights: images of any size are resized to `side`, grey is repeated."""

    name: str
    side: int
    batch: int
    dimension: int
    classes = 0

    def __init__(self, resize: str, sha256: str, device: str) -> None:
        require_policy(resize)
        self.resize, self.sha256, self.device = resize, sha256, device

    def __call__(self, images: Images, advance: Advance = lambda count: None) -> NDArray[np.float32]:
        """Map images uint8, of any sizes, C = 1 or 3, to features (N, D)."""
        return in_batches(images, self.batch, self.dimension, self._prepared, self._features, advance)

    def _prepared(self, images: NDArray[np.uint8]) -> Tensor:
        return to_colour(images, self.side, self.resize)

    def _features(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def as_planes(images: NDArray[np.uint8]) -> Tensor:
    """Convert images (B, H, W, C) to a tensor (B, C, H, W) of the same values. Raises ValueError for other than uint8.

    Generated images must be rounded to uint8 first, since real images are uint8 too.
    """
    if images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype}, but must be uint8; round them, do not truncate")
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous()


def to_colour(images: NDArray[np.uint8], side: int, policy: str) -> Tensor:
    """Convert images (B, H, W, C), C = 1 or 3, to float32 (B, 3, side, side) in 0..255; grey is repeated."""
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
        state = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        raise ExtractorError(f"the weights are not those of {file}: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(each, Tensor) for each in state.values()):
        raise ExtractorError(f"the weights are not those of {file}: they are not a dictionary of tensors")
    return state


def with_weights(network: M, state: Mapping[str, Tensor], name: str) -> M:
    """Give a network on the meta device its weights, for evaluation. Raises ExtractorError for other names or shapes.

    name: of the file or network, for the message.
    """
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ExtractorError(f"the weights are not those of {name}: {error}") from error
    return network.eval().requires_grad_(False)


def in_batches(
    images: Images,
    batch: int,
    dimension: int,
    prepared: Callable[[NDArray[Any]], Tensor],
    features: Callable[[Tensor], Tensor],
    advance: Advance,
) -> NDArray[np.float32]:
    """Extract features (N, D) of all images, each `prepared` first, in batches of exactly `batch`, the last one padded.

    Kernels may round differently for another batch size, so each extractor has a fixed one. Images of an iterable are
    prepared one by one, so only a batch of them is in memory.
    """
    parts = [np.empty((0, dimension), np.float32)]
    with torch.inference_mode():
        for chunk in _chunks(images, batch, prepared):
            padded = torch.zeros(batch, *chunk.shape[1:])
            padded[: len(chunk)] = chunk
            parts.append(features(padded)[: len(chunk)].cpu().numpy())
            advance(len(chunk))
    return np.concatenate(parts)


def _chunks(images: Images, batch: int, prepared: Callable[[NDArray[Any]], Tensor]) -> Iterator[Tensor]:
    """Iterate over prepared images, `batch` at a time."""
    if isinstance(images, np.ndarray):
        for start in range(0, len(images), batch):
            yield prepared(images[start : start + batch])
        return
    remaining = iter(images)
    while chunk := [prepared(image[None]) for image in islice(remaining, batch)]:
        yield torch.cat(chunk)


def linear(features: NDArray[np.floating], weight: Tensor, bias: Tensor | None) -> NDArray[np.float64]:
    """Apply a linear layer in float64."""
    matrix = weight.detach().cpu().double().numpy()
    offset = 0.0 if bias is None else bias.detach().cpu().double().numpy()
    result: NDArray[np.float64] = np.asarray(features, np.float64) @ matrix.T + offset
    return result
