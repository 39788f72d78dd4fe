"""Pictures of one required size: checked and decoded, never resized."""

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ddpm.data import images, order, sources
from ddpm.data.entries import ENDINGS, Entry
from ddpm.data.errors import BadImageError, DataError

MAX_PIXELS = 50_000_000
BACKGROUND = 0
Pixels = NDArray[np.uint8]


def read(location: Path, side: int, channels: int, why: str, most: int | None = None) -> dict[str, Pixels]:
    """Read images (side, side, channels) uint8 from a file, folder or archive, by their paths without suffix.

    most: limit of images, the same share of each folder; None for all. why: origin of the required size, for the
    message. Raises DataError for unusable files and other sizes.
    """
    found: dict[str, Pixels] = {}
    source = _source(location)
    chosen = None if most is None else _chosen(source, most)
    for entry, content in source.read():
        if chosen is not None and entry.path not in chosen:
            continue
        name = str(PurePosixPath(entry.path).with_suffix(""))
        if name in found:
            raise DataError(f"{location} has two pictures named {name}. Rename one: results are named after them.")
        try:
            found[name] = _picture(content, entry.path, side, channels, why)
        except BadImageError as error:
            raise DataError(f"{source.location / entry.path} cannot be used: {error}") from error
    return dict(sorted(found.items()))


def _chosen(source: sources.Source, most: int) -> set[str]:
    """The paths of at most `most` files: of each folder as large a share as of any other."""
    paths = sorted(entry.path for entry in source.entries)
    _, folders = np.unique([str(PurePosixPath(path).parent) for path in paths], return_inverse=True)
    return {paths[index] for index in order.balanced(folders)[:most]}


def _source(location: Path) -> sources.Source:
    if location.is_file() and location.suffix.lower() in ENDINGS:
        return sources.Source(location.parent, "folder", (Entry(location.name, location.stat().st_size),))
    return sources.find(location)


def _picture(content: bytes | BadImageError, path: str, side: int, channels: int, why: str) -> Pixels:
    if isinstance(content, BadImageError):
        raise content
    width, height = images.open_image(content, path, max_pixels=MAX_PIXELS).image.size
    if (width, height) != (side, side):
        raise BadImageError(f"it has {width} x {height} pixels, but {side} x {side} are needed ({why})")
    return images.prepare_image(
        content, path, resolution=side, channels=channels, background=BACKGROUND, max_pixels=MAX_PIXELS
    ).pixels
