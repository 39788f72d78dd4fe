"""Nearest neighbours, and the scores based on them: precision, recall, density, coverage, and the clipped variants.

Distances are computed tile by tile in float64, without a matrix of all pairs; features may be memory-mapped. Tiles
start at fixed positions of a set, so they are the same in every process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm.metrics.clipped import clipped_coverage, clipped_density
from ddpm.metrics.shards import WHOLE, Shard

Array = NDArray[np.floating]
Floats = NDArray[np.float64]

TILE = 512  # rows of a set processed at a time
NEIGHBOURS = (3, 5)  # k: 3 in Kynkaanniemi et al., 5 in Naeem et al.
CLOSED = 1 + 1e-9  # a ball contains its boundary, also after rounding
ROUNDING = np.finfo(np.float64).eps
"""Rounding error of a squared distance, relative to dimension times squared norms; below it, a distance counts as 0."""


@dataclass(frozen=True)
class Manifold:
    """Features (N, D) as a union of balls. radii: (N, len(NEIGHBOURS)), the distance to the k-th nearest other feature.

    indices, distances: (N, max(NEIGHBOURS)) of the nearest other features, nearest first.
    """

    features: Array
    radii: Floats
    indices: NDArray[np.int64]
    distances: Floats


def manifold(features: Array, shard: Shard = WHOLE) -> Manifold:
    """Compute the manifold of features. Raises ValueError for fewer than max(NEIGHBOURS) + 1 images."""
    if len(features) <= max(NEIGHBOURS):
        raise ValueError(f"{len(features)} images are too few for precision and recall; at least {max(NEIGHBOURS) + 1}")
    indices, distances = nearest(features, features, max(NEIGHBOURS) + 1, shard)
    # The nearest one, at distance 0, is the feature itself.
    return Manifold(features, distances[:, list(NEIGHBOURS)], indices[:, 1:], distances[:, 1:])


def manifold_scores(fake: Manifold, real: Manifold, shard: Shard = WHOLE) -> dict[str, float]:
    """Compute precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) for each k.

    precision: share of generated images inside a ball around a real one; density: mean number of these balls, divided
    by k. recall: share of real images inside a ball around a generated one; coverage: share of real images whose ball
    contains a generated one. Keys have no suffix for k = 3, and `_k5` for k = 5. Clipped density and coverage (Salvy et
    al. 2025) have k = 5 only.
    """
    widest = real.radii[:, -1]
    clipped = np.minimum(widest, np.median(widest))
    in_real, _, _ = _inside(fake.features, real.features, np.column_stack([real.radii, clipped]), None, shard)
    in_fake, closest, own = _inside(real.features, fake.features, fake.radii, widest, shard)
    scores: dict[str, float] = {}
    for column, k in enumerate(NEIGHBOURS):
        end = "" if column == 0 else f"_k{k}"
        scores[f"precision{end}"] = float((in_real[:, column] > 0).mean())
        scores[f"recall{end}"] = float((in_fake[:, column] > 0).mean())
        scores[f"density{end}"] = float(in_real[:, column].mean() / k)
        scores[f"coverage{end}"] = float((closest <= real.radii[:, column] ** 2 * CLOSED).mean())
    within = real.distances <= clipped[:, None] * CLOSED
    held = np.bincount(real.indices[within], minlength=len(real.features))
    scores["clipped_density"] = clipped_density(in_real[:, -1], held, NEIGHBOURS[-1])
    scores["clipped_coverage"] = clipped_coverage(own, len(fake.features), NEIGHBOURS[-1])
    return scores


def nearest(
    queries: Array, references: Array, count: int = 1, shard: Shard = WHOLE
) -> tuple[NDArray[np.int64], Floats]:
    """Find the `count` nearest references of each query: indices (Q, count) and Euclidean distances, nearest first.

    Candidates are found by one matrix product per tile; their distances are then recomputed without cancellation, so
    a copy has distance 0 exactly.
    """
    count = min(count, len(references))
    if len(queries) == 0:
        return np.empty((0, count), np.int64), np.empty((0, count))

    def of_tile(start: int) -> Floats:
        block = _tile(queries, start)
        rough, chosen = torch.empty(len(block), 0, dtype=torch.float64), torch.empty(len(block), 0, dtype=torch.int64)
        for at, tile in _tiles(references):
            found = (tile.square().sum(dim=1) - 2 * block @ tile.T).topk(min(count, len(tile)), dim=1, largest=False)
            rough, chosen = torch.cat([rough, found.values], dim=1), torch.cat([chosen, found.indices + at], dim=1)
            kept = rough.topk(min(count, rough.shape[1]), dim=1, largest=False)
            rough, chosen = kept.values, chosen.gather(1, kept.indices)
        candidates = torch.as_tensor(np.asarray(references[chosen.numpy()], np.float64))
        exact = (block[:, None] - candidates).square().sum(dim=2).sqrt()
        order = exact.argsort(dim=1, stable=True)
        joined: Floats = torch.cat([chosen.gather(1, order).double(), exact.gather(1, order)], dim=1).numpy()
        return joined

    both = shard.map(of_tile, starts(queries))
    return both[:, :count].astype(np.int64), both[:, count:]


def starts(rows: Sequence[object] | Array) -> range:
    """Return the first row of each tile."""
    return range(0, len(rows), TILE)


def _inside(
    queries: Array, centres: Array, radii: Floats, own: Floats | None, shard: Shard
) -> tuple[Floats, Floats, Floats]:
    """Count memberships in balls. radii: (N, C) of the balls around the centres; own: (Q,) of those around queries.

    For each query: in how many balls of each column it lies (Q, C), the squared distance to the nearest centre (Q,),
    and how many centres its own ball holds (Q,), 0 without `own`.
    """
    limits = torch.as_tensor(radii**2 * CLOSED)
    reach = torch.as_tensor(np.full(len(queries), -1.0) if own is None else own**2 * CLOSED)

    def of_tile(start: int) -> Floats:
        block = _tile(queries, start)
        held = torch.zeros(len(block), limits.shape[1] + 1, dtype=torch.float64)
        closest = torch.full((len(block),), torch.inf, dtype=torch.float64)
        for at, tile in _tiles(centres):
            norms = block.square().sum(dim=1)[:, None] + tile.square().sum(dim=1)
            slack = block.shape[1] * ROUNDING * norms
            squared = norms - 2 * block @ tile.T
            squared = torch.where(squared <= slack, 0.0, squared)
            closest = torch.minimum(closest, squared.amin(dim=1))
            for column in range(limits.shape[1]):
                held[:, column] += (squared <= limits[at : at + len(tile), column]).sum(dim=1)
            held[:, -1] += (squared <= reach[start : start + len(block), None]).sum(dim=1)
        joined: Floats = torch.cat([held, closest[:, None]], dim=1).numpy()
        return joined

    both = shard.map(of_tile, starts(queries))
    return both[:, :-2], both[:, -1], both[:, -2]


def _tile(features: Array, start: int) -> Tensor:
    return torch.as_tensor(np.asarray(features[start : start + TILE], np.float64))


def _tiles(features: Array) -> Iterator[tuple[int, Tensor]]:
    """Iterate over the tiles, each with its first row."""
    for start in starts(features):
        yield start, _tile(features, start)
