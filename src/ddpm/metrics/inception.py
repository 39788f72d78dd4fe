"""Inception-v3 of 2015-12-05, the network of published FID, KID, IS and sFID, in torch-fidelity's implementation."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm.metrics import extractors, published
from ddpm.metrics.extractors import Advance, ExtractorError, Images, PublishedExtractor

FILE, SHA256 = published.INCEPTION_FILE, published.INCEPTION_SHA256
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"

# The network's modules in order: up to the spatial features of sFID, and from there to the pooled features.
TO_SPATIAL = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2",
    "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d",
)  # fmt: skip
TO_POOLED = ("Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool")
SPATIAL_CHANNELS, SPATIAL_SIDE = 7, 17


class InceptionExtractor(PublishedExtractor):
    """Features are the 2,048 pooled activations; logits omit the bias, as in the published Inception Score.

    Images are resized to 299 x 299 by `resize`: `legacy` as in torch-fidelity and the original graph, `clean` as in
    clean-fid. Grey images are repeated over three channels.
    """

    name = "inception"
    side = 299
    batch = 50
    dimension = 2048
    spatial_dimension = SPATIAL_CHANNELS * SPATIAL_SIDE**2

    def __init__(self, weights: bytes, resize: str, sha256: str = SHA256, device: str = "cpu") -> None:
        """weights: content of the published file. Raises ExtractorError for other content or unsuitable packages."""
        super().__init__(resize, sha256, device)
        extractors.require_published(weights, FILE, sha256, "Download it again: `ddpm weights inception`")
        self.network = _network(weights).to(device)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map features (N, 2048) to logits without bias (N, 1008)."""
        weight: Any = self.network.get_submodule("fc").weight
        return extractors.linear(features, weight, None)

    def spatial(self, images: Images, advance: Advance = lambda count: None) -> NDArray[np.float32]:
        """Map images to the features of sFID (N, 2023): 7 channels at 17 x 17 positions (Nash et al. 2021).

        The ADM evaluator (Dhariwal & Nichol 2021) uses the first 7 channels of `mixed_6/conv` of the original graph,
        channels last. This is the 1 x 1 branch of the block called Mixed_6d here.
        """
        return extractors.in_batches(images, self.batch, self.spatial_dimension, self._prepared, self._spatial, advance)

    def _features(self, images: Tensor) -> Tensor:
        return self._through(self._through(self._scaled(images), TO_SPATIAL), TO_POOLED).flatten(1)

    def _spatial(self, images: Tensor) -> Tensor:
        found = self._through(self._scaled(images), TO_SPATIAL)[:, :SPATIAL_CHANNELS]
        return found.permute(0, 2, 3, 1).flatten(1)

    def _scaled(self, images: Tensor) -> Tensor:
        """Scale as the original graph: 128 becomes 0, 255 stays below 1."""
        return (images.to(self.device) - 128) / 128

    def _through(self, values: Tensor, parts: tuple[str, ...]) -> Tensor:
        for part in parts:
            values = self.network.get_submodule(part)(values)
        return values


def _network(weights: bytes) -> nn.Module:
    """Build torch-fidelity's Inception-v3. Raises ExtractorError for a missing package or other weights."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:  # a torchvision that does not match torch raises RuntimeError
        raise ExtractorError(
            f"features.extractor = inception needs torch-fidelity and a torchvision that matches torch "
            f"{torch.__version__} ({error}). Install them with `pip install .[inception]`, or use extractor: auto"
        ) from error
    extractors.published_tensors(weights, FILE)  # refuses anything but tensors, before torch-fidelity reads them again
    try:
        with _weights_only():
            # The path is passed to torch.load, which also accepts a file object: the bytes that were hashed.
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=io.BytesIO(weights)
            )
    except RuntimeError as error:
        raise ExtractorError(f"the weights are not those of {FILE}: {error}") from error
    return network


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """Make torch.load read tensors only: torch-fidelity requests full unpickling, which can run code."""
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
