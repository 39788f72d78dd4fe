"""Sets of images from any program, as files or one array, read one by one without cropping or resizing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files
from ddpm.data import images, sources, survey
from ddpm.data.errors import BadImageError, DataError, listing

MAX_PIXELS = 50_000_000
BACKGROUND = 0
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageSet:
    """`count` images of these sizes (width, height), sorted by path or in the order of the array."""

    location: Path
    count: int
    sizes: frozenset[tuple[int, int]]
    source: sources.Source | None
    array: Pixels | None

    def read(self, chosen: NDArray[np.int64], channels: int) -> Iterator[Pixels]:
        """Yield the images with the indices `chosen`, uint8 (H, W, channels), one by one. Raises DataError."""
        if self.array is not None:
            for number in chosen:
                yield _in_channels(np.asarray(self.array[number]), channels)
        elif self.source is not None:
            wanted = {self.source.entries[number].path for number in chosen}
            for entry, content in self.source.read():
                if entry.path in wanted:
                    yield _decoded(self.location, entry.path, content, channels)


def open_set(location: Path, advance: Callable[[int], None] = lambda count: None) -> ImageSet:
    """Open a set, decoding each file once. Raises DataError, or ValueError for an array of another kind."""
    if location.suffix == ".npy":
        return of_array(files.read_npy(location, memory_map=True), location)
    source = sources.find(location)
    found = survey.survey(source, max_pixels=MAX_PIXELS, advance=advance)
    if found.bad:
        bad = listing([f"{path}: {why}" for path, why in found.bad], 5)
        raise DataError(f"{len(found.bad):,} files in {location} are not usable images; nothing was scored:\n{bad}")
    return ImageSet(source.location, found.count, frozenset(found.sizes), source, None)


def of_array(array: NDArray[Any], location: Path) -> ImageSet:
    """Make a set of an array. location: its file, or a name for messages. Raises ValueError for another kind."""
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (1, 3):
        raise ValueError(f"{location} holds {array.dtype} of shape {array.shape}; must be uint8 (N, H, W, 1 or 3)")
    return ImageSet(location, len(array), frozenset({(array.shape[2], array.shape[1])}), None, array)


def _decoded(location: Path, path: str, content: bytes | BadImageError, channels: int) -> Pixels:
    try:
        if isinstance(content, BadImageError):
            raise content
        return images.whole_image(content, path, channels=channels, background=BACKGROUND, max_pixels=MAX_PIXELS)
    except BadImageError as error:
        raise DataError(f"{location / path} cannot be used: {error}") from error


def _in_channels(image: Pixels, channels: int) -> Pixels:
    if image.shape[2] == channels:
        return image
    return images.to_uint8(images.to_channels(image.astype(np.float32), channels, []))
