"""Features of series: random convolutions, as in ROCKET, of the values and of their magnitudes.

Dempster et al. 2020 (ROCKET) and 2021 (MiniRocket): random kernels of many dilations, of which no weight is trained,
tell series apart as well as trained networks do. Each kernel gives two numbers: the share of positions at which it
exceeds a threshold, and its maximum, compressed (asinh), so that a single crash does not decide every distance. The
magnitudes |z| show what values alone cannot: whether large changes follow one another.

The numbers are standardised on the training windows and projected to their principal components, which keep their
variances. They are not whitened: a long series has few independent windows, and components of little variance are then
chance of these windows, which whitening would raise to the weight of the others. Whitened, real held-out windows of 33
years of oil prices are further from the training windows than independent Gaussian noise is (59 against 24); as they
are, noise is the furthest (73 against 25).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ddpm.metrics.extractors import AS_IT_IS, Advance, ExtractorError, Images, in_batches

DIMENSION = 128
"""Principal components kept; as few windows have no more."""
KERNELS = 512
LENGTH = 9
MOST_FITTED = 4096
"""Windows, evenly spread, that thresholds and projection are fitted to."""
SMALLEST = 1e-9
"""Ratio of the last variance to the first below which features are not independent."""


@dataclass(frozen=True)
class Kernels:
    """Fitted tensors. The inputs of a kernel are 2 C channels: standardised values z, then standardised |z|.

    centre, spread (2, C): mean and deviation of values and of |z|. weights: of a dilation, (K, 2 C, LENGTH);
    thresholds: likewise (K,). mean (2 KERNELS,) is subtracted before projection (2 KERNELS, DIMENSION).
    """

    centre: Tensor
    spread: Tensor
    weights: Mapping[int, Tensor]
    thresholds: Mapping[int, Tensor]
    mean: Tensor
    projection: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, for a file."""
        named = {"centre": self.centre, "spread": self.spread, "mean": self.mean, "projection": self.projection}
        named |= {f"weights.{dilation}": each for dilation, each in self.weights.items()}
        return named | {f"thresholds.{dilation}": each for dilation, each in self.thresholds.items()}


def from_tensors(tensors: Mapping[str, Tensor]) -> Kernels:
    """Invert `Kernels.tensors`."""

    def of(prefix: str) -> dict[int, Tensor]:
        found = {int(name.rpartition(".")[2]): each for name, each in tensors.items() if name.startswith(prefix)}
        return dict(sorted(found.items()))

    weights, thresholds = of("weights."), of("thresholds.")
    return Kernels(tensors["centre"], tensors["spread"], weights, thresholds, tensors["mean"], tensors["projection"])


class KernelExtractor:
    """The extractor of series: windows float32 (N, L, C) to DIMENSION numbers."""

    name = "kernels"
    dimension = DIMENSION
    classes = 0
    resize = AS_IT_IS
    batch = 250

    def __init__(self, kernels: Kernels, sha256: str) -> None:
        self.kernels, self.sha256 = kernels, sha256
        self.channels = kernels.centre.shape[1]

    def __call__(self, images: Images, advance: Advance = lambda count: None) -> NDArray[np.float32]:
        """Map windows (N, L, C) to features (N, DIMENSION)."""
        return in_batches(images, self.batch, self.dimension, self._prepared, self._features, advance)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map features (N, D) to no logits, (N, 0): there are no classes."""
        return np.empty((len(features), 0))

    def _prepared(self, windows: NDArray[Any]) -> Tensor:
        if windows.ndim != 3 or windows.shape[2] != self.channels:
            raise ValueError(
                f"the kernels were fitted to series of {self.channels} columns, not to {windows.shape[1:]}"
            )
        return torch.from_numpy(np.ascontiguousarray(windows, np.float32))

    def _features(self, windows: Tensor) -> Tensor:
        kernels = self.kernels
        found = _responses(_inputs(windows, kernels), kernels)
        return ((found.double() - kernels.mean) @ kernels.projection).float()


def fit(windows: NDArray[np.float32], seed: int) -> Kernels:
    """Draw kernels from a seed; fit thresholds and projection to training windows (N, L, C).

    Raises ExtractorError for too few windows, or such as are too much alike.
    """
    if len(windows) <= DIMENSION:
        raise ExtractorError(
            f"{len(windows)} training windows do not have {DIMENSION} principal components: more are needed. Give more "
            "rows, or make prepare.window or prepare.stride smaller."
        )
    chosen = np.unique(np.linspace(0, len(windows) - 1, MOST_FITTED).round().astype(int))
    fitted = torch.from_numpy(np.ascontiguousarray(windows[chosen], np.float32))
    random = np.random.default_rng(seed)
    centre, spread = _scales(fitted)
    weights = _draw(random, fitted.shape[1], fitted.shape[2])
    nothing = torch.zeros(0, dtype=torch.float64)
    kernels = Kernels(centre, spread, weights, {}, nothing, nothing)
    inputs = _inputs(fitted, kernels)
    thresholds = {dilation: _thresholds(inputs, each, dilation, random) for dilation, each in weights.items()}
    kernels = Kernels(centre, spread, weights, thresholds, nothing, nothing)
    return Kernels(centre, spread, weights, thresholds, *_projection(_responses(inputs, kernels).double()))


def _scales(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (2, C), of the values and of the magnitudes of standardised values, by channel."""
    rows = windows.double().flatten(0, 1)
    mean, std = rows.mean(0), rows.std(0, correction=0)
    magnitudes = ((rows - mean) / std).abs()
    centre = torch.stack([mean, magnitudes.mean(0)])
    return centre.float(), torch.stack([std, magnitudes.std(0, correction=0)]).float()


def _draw(random: np.random.Generator, length: int, channels: int) -> dict[int, Tensor]:
    """Draw kernels of all dilations that fit into `length`: weights (K, 2 C, LENGTH), each row of mean 0.

    A kernel sees few or many of the 2 C inputs: 2^u of them, u uniform (Dempster et al. 2020, section 3).
    """
    reach = max(1, (length - 1) // (LENGTH - 1))
    dilations = [2**power for power in range(reach.bit_length())]
    counts = [KERNELS // len(dilations) + (i < KERNELS % len(dilations)) for i in range(len(dilations))]
    inputs, found = 2 * channels, {}
    for dilation, count in zip(dilations, counts, strict=True):
        weights = random.standard_normal((count, inputs, LENGTH))
        weights -= weights.mean(axis=2, keepdims=True)
        for kernel in weights:
            seen = min(inputs, int(2 ** random.uniform(0, math.log2(inputs + 1))))
            kernel[random.permutation(inputs)[seen:]] = 0
        found[dilation] = torch.from_numpy(weights).float()
    return found


def _inputs(windows: Tensor, kernels: Kernels) -> Tensor:
    """Standardised values, then standardised magnitudes: (B, 2 C, L)."""
    z = (windows - kernels.centre[0]) / kernels.spread[0]
    magnitudes = (z.abs() - kernels.centre[1]) / kernels.spread[1]
    return torch.cat([z, magnitudes], dim=2).transpose(1, 2)


def _convolved(inputs: Tensor, weights: Tensor, dilation: int) -> Tensor:
    """(B, K, L), padded by zeros, which is the mean, to the same length."""
    return functional.conv1d(inputs, weights, dilation=dilation, padding=(LENGTH - 1) // 2 * dilation)


def _thresholds(inputs: Tensor, weights: Tensor, dilation: int, random: np.random.Generator) -> Tensor:
    """Quantiles, drawn uniformly, of what each kernel puts out for training windows (MiniRocket, section 3.1)."""
    chosen = inputs[:: max(1, len(inputs) // 64)]
    values = _convolved(chosen, weights, dilation).transpose(0, 1).flatten(1).double().numpy()
    levels = random.uniform(0.05, 0.95, len(weights))
    return torch.tensor([np.quantile(row, level) for row, level in zip(values, levels, strict=True)]).float()


def _responses(inputs: Tensor, kernels: Kernels) -> Tensor:
    """Shares above the threshold, then maxima, of all kernels: (B, 2 KERNELS)."""
    shares, maxima = [], []
    for dilation, weights in kernels.weights.items():
        above, most = [], []
        for part in torch.split(inputs, 256):
            values = _convolved(part, weights, dilation)
            above.append((values > kernels.thresholds[dilation][:, None]).float().mean(2))
            most.append(values.amax(2).asinh())
        shares.append(torch.cat(above))
        maxima.append(torch.cat(most))
    return torch.cat([*shares, *maxima], dim=1)


def _projection(responses: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and projection (F, DIMENSION) to the principal components, with a total variance of about DIMENSION.

    responses (N, F) are standardised first, so that shares and maxima count alike.
    """
    mean, std = responses.mean(0), responses.std(0, correction=0).clamp(min=1e-12)
    scaled = (responses - mean) / std
    variances, directions = torch.linalg.eigh(scaled.T @ scaled / len(scaled))
    variances, directions = variances[-DIMENSION:].flip(0), directions[:, -DIMENSION:].flip(1)
    if not variances[-1] > SMALLEST * variances[0]:
        raise ExtractorError(
            f"the training windows are too much alike for {DIMENSION} independent features. Give more or longer series."
        )
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return mean, directions * largest.sign() / std[:, None] * (DIMENSION / len(mean)) ** 0.5
