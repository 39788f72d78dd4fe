"""The image sets of a score: opening, checks, selection and features."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm.common.progress import progress
from ddpm.data import sets, sources
from ddpm.data.sets import ImageSet
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.frechet import require_enough
from ddpm.metrics.resize import POLICIES

Images = Path | NDArray[np.uint8]
"""A folder, an archive, a .npy file, or an array (N, H, W, C)."""


def label(images: Images) -> str:
    """Name a set in conditions and messages."""
    return str(images) if isinstance(images, Path) else f"an array of shape {images.shape}"


def open_set(name: str, given: Images, quiet: bool) -> ImageSet:
    """Open a set of images. Raises DataError, FileNotFoundError, TooFewImagesError, ValueError for another array."""
    path = Path(label(given))
    if not isinstance(given, Path):
        found = sets.of_array(given, path)
    elif quiet or path.suffix == ".npy":
        found = sets.open_set(path)
    else:
        with progress(f"score: reading {name}", len(sources.find(path).entries), "files") as shown:
            found = sets.open_set(path, shown.advance)
    require_enough(found.count, f"--{name} {path}", "Give more images.")
    return found


def sizes(sets: dict[str, ImageSet], resize: str | None) -> str:
    """Describe the image sizes. Raises ValueError for differing sizes without a resize policy, or an unknown policy."""
    if resize is not None and resize not in POLICIES:
        raise ValueError(f"--resize {resize} is not a policy; possible: {', '.join(POLICIES)}")
    found = sorted(set().union(*(each.sizes for each in sets.values())))
    words = ", ".join(f"{width}x{height}" for width, height in found[:4]) + (", ..." if len(found) > 4 else "")
    if len(found) > 1 and resize is None:
        raise ValueError(
            f"the images have {len(found)} sizes ({words}), and resizing changes every score. Choose "
            "--resize clean (antialiased bicubic, as clean-fid) or --resize legacy (TensorFlow's bilinear)"
        )
    return words


def select(sets: dict[str, ImageSet], count: int | None, unequal: bool, seed: int) -> dict[str, NDArray[np.int64]]:
    """Select the indices of each set. Raises ValueError for too few images, or sets of unequal size."""
    judged = [sets[name] for name in ("real", "fake") if name in sets]
    if count is not None:
        require_enough(count, f"--count {count}", "Ask for more.")
        for each in judged:
            if each.count < count:
                raise ValueError(f"--count {count}: {each.location} has only {each.count:,} images")
    elif len(judged) == 2 and judged[0].count != judged[1].count and not unequal:
        raise ValueError(
            f"{judged[0].count:,} real and {judged[1].count:,} fake images: most scores depend on the count. "
            f"Use equally many with --count {min(each.count for each in judged)}, or --unequal"
        )
    take = {name: count if count is not None and name != "heldout" else each.count for name, each in sets.items()}
    order = {name: np.random.default_rng(seed).permutation(each.count) for name, each in sets.items()}
    return {name: np.sort(order[name][: take[name]]) for name in sets}


def features(
    name: str, images: ImageSet, indices: NDArray[np.int64], extractor: Extractor, quiet: bool
) -> NDArray[np.float32]:
    """Extract the features (N, D) of the selected images."""
    channels = int(getattr(extractor, "channels", 3))
    pixels = images.read(indices, channels)
    if quiet:
        return extractor(pixels)
    with progress(f"score: features of {name}", len(indices), "images") as shown:
        return extractor(pixels, shown.advance)
