"""Exact and near duplicates in a set of images."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.data.blocks import blocks

GRID = 8
CANDIDATES = 100_000
BLOCK = 4096


@dataclass(frozen=True)
class NearPairs:
    """Sorted pairs (i, j), i < j, of near duplicates. complete: False if there were too many candidates to compare."""

    pairs: list[tuple[int, int]]
    complete: bool


def exact(digests: Sequence[str]) -> list[list[int]]:
    """Group two or more equal digests, as indices in order."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        groups[digest].append(index)
    return [group for group in groups.values() if len(group) > 1]


def groups(digests: Sequence[str], near_pairs: Sequence[tuple[int, int]]) -> list[str]:
    """A key per image (N,), equal for images that exact copies and near pairs connect: the least of their digests."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(digests)
    first = {digest: index for index, digest in reversed(list(enumerate(digests)))}
    near = np.array(near_pairs, np.int64).reshape(-1, 2)
    rows = np.concatenate([near[:, 0], [first[digest] for digest in digests]])
    columns = np.concatenate([near[:, 1], np.arange(size)])
    edges = np.ones(len(rows), np.int8)
    _, component = connected_components(coo_array((edges, (rows, columns)), (size, size)), directed=False)
    least: dict[int, str] = {}
    for digest, part in zip(digests, component.tolist(), strict=True):
        least[part] = min(digest, least.get(part, digest))
    return [least[part] for part in component.tolist()]


def near(images: NDArray[np.uint8], limit: float, digests: Sequence[str], candidates: int = CANDIDATES) -> NearPairs:
    """Find pairs of images (N, H, W, C) whose root mean square difference is above 0 and at most `limit` (0 to 255).

    Only the first of exact copies (equal digests) is compared. Weighted block means never differ by more than the
    images do (Jensen's inequality), so a k-d tree over them finds every candidate, and the full images decide. With
    more than `candidates` candidate pairs (a video, say), only part of them is compared.
    """
    from scipy.spatial import cKDTree

    kept = np.array(sorted({digest: index for index, digest in reversed(list(enumerate(digests)))}.values()))
    if limit == 0 or len(kept) < 2:
        return NearPairs([], True)
    tree = cKDTree(summaries(images)[kept])
    radius = limit * (1 + 1e-9) + 1e-6
    counts, complete = _count_candidates(tree, radius, candidates)
    busy = np.flatnonzero(counts > 1)
    if not complete:
        busy = busy[np.cumsum(counts[busy]) <= candidates]
    pairs = []
    for index in busy:
        others = sorted(other for other in tree.query_ball_point(tree.data[index], radius) if other > index)
        named = [(int(kept[index]), int(kept[other])) for other in others]
        pairs += [(one, two) for one, two in named if rms(images[one], images[two]) <= limit]
    return NearPairs(pairs, complete)


def _count_candidates(tree: Any, radius: float, most: int) -> tuple[NDArray[np.int64], bool]:
    """Count the points within `radius` of each point, itself included; and whether they make at most `most` pairs.

    The count ends with the block of points that exceeds `most`, since those of a set of similar images (a film) would
    take quadratic time. The points counted by then have more candidates than are compared.
    """
    counts = [np.zeros(0, np.int64)]
    pairs = 0
    for start in range(0, len(tree.data), BLOCK):
        block = tree.data[start : start + BLOCK]
        counts.append(np.asarray(tree.query_ball_point(block, radius, return_length=True, workers=-1), np.int64))
        pairs += int(counts[-1].sum()) - len(block)
        if pairs // 2 > most:
            return np.concatenate(counts), False
    return np.concatenate(counts), True


def rms(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Compute the root mean square difference of two images, in grey levels (0 to 255)."""
    difference = first.astype(np.float64) - second
    return float(np.sqrt(np.mean(difference * difference)))


def summaries(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute vectors (N, at most 64) whose Euclidean distance is at most the images' root mean square difference.

    Each entry is the mean of a block of pixels and channels, times the root of the block's share of the image.
    """
    side = images.shape[1]
    edges = np.unique(np.linspace(0, side, min(GRID, side) + 1).astype(int))
    shares = np.diff(edges) / side
    weights = np.sqrt(np.outer(shares, shares))
    found = []
    for _, block in blocks(images, BLOCK):
        grey = block.mean(axis=3, dtype=np.float64)
        sums = np.add.reduceat(np.add.reduceat(grey, edges[:-1], axis=1), edges[:-1], axis=2)
        means = sums / np.outer(np.diff(edges), np.diff(edges))
        found.append((means * weights).reshape(len(grey), -1))
    return np.concatenate(found)
