"""Passes over an array of images, block by block, with bounded memory."""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 1024
RELEASE = 64 * 2**20
"""Bytes after which the pages of a memory-mapped file are released."""


def blocks(images: NDArray[Any], size: int = BLOCK) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (start, images[start : start + size]) of images (N, ...), in order.

    Of a read-only memory map, pages already seen are released now and then: the system would take them back in need,
    but they count as this process's memory until then.
    """
    mapped = images.base if isinstance(images, np.memmap) and images.mode == "r" else None
    seen = 0
    for start in range(0, len(images), size):
        block = images[start : start + size]
        yield start, block
        seen += block.nbytes
        if isinstance(mapped, mmap.mmap) and seen >= RELEASE:
            mapped.madvise(mmap.MADV_DONTNEED)
            seen = 0
