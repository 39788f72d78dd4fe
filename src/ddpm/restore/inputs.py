"""Pictures as the model needs them, from files, each checked before any weights are loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ddpm.data import images, sources
from ddpm.data.entries import ENDINGS, Entry
from ddpm.data.errors import BadImageError, DataError, listing
from ddpm.restore.tasks import Plan

MAX_PIXELS = 50_000_000
BACKGROUND = 0
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Inputs:
    """names (N,); observed (N, h, w, c) uint8; known (H, W), True where not to paint, or None; truth (N, H, W, C)."""

    names: tuple[str, ...]
    observed: Pixels
    known: NDArray[np.bool_] | None
    truth: Pixels | None


def read(plan: Plan, given: Path, mask: Path | None = None, truth: Path | None = None) -> Inputs:
    """All that a plan needs, from a file or a folder (or archive) each; the mask is one file.

    Raises DataError that names the file, what is wrong with it, and what it should be.
    """
    observed = pictures(given, plan.observed_side, plan.observed_channels, _why(plan))
    known = None if mask is None else read_mask(mask, plan.side)
    true = None
    if truth is not None:
        found = pictures(truth, plan.side, plan.channels, "the truth has the size of the model's images")
        true = np.stack(_matching(observed, found, given, truth))
    return Inputs(tuple(observed), np.stack(list(observed.values())), known, true)


def pictures(location: Path, side: int, channels: int, why: str) -> dict[str, Pixels]:
    """Pictures (side, side, channels) uint8 by their names: paths inside `location`, without ending.

    Raises DataError for a file that is no image or has another size; `why` says where the size comes from.
    """
    found: dict[str, Pixels] = {}
    source = _source(location)
    for entry, content in source.read():
        name = str(PurePosixPath(entry.path).with_suffix(""))
        if name in found:
            raise DataError(f"{location} has two pictures called {name}. Rename one: results are named after them.")
        try:
            found[name] = _picture(content, entry.path, side, channels, why)
        except BadImageError as error:
            raise DataError(f"{source.location / entry.path} cannot be used: {error}") from error
    return dict(sorted(found.items()))


def read_mask(path: Path, side: int) -> NDArray[np.bool_]:
    """(H, W), True where the picture is to be kept: where the mask is black. Raises DataError."""
    if path.is_dir():
        raise DataError(f"the mask {path} is a folder; give one file, which serves all inputs")
    mask = next(iter(pictures(path, side, 1, "a mask has the size of the model's images").values()))[:, :, 0]
    known: NDArray[np.bool_] = mask < 128
    if known.all():
        raise DataError(f"the mask {path} is black everywhere: there is nothing to paint. White marks what to paint.")
    if not known.any():
        raise DataError(f"the mask {path} is white everywhere: nothing is kept. `ddpm sample` draws whole images.")
    return known


def _source(location: Path) -> sources.Source:
    if location.is_file() and location.suffix.lower() in ENDINGS:
        return sources.Source(location.parent, "folder", (Entry(location.name, location.stat().st_size),))
    return sources.find(location)


def _picture(content: bytes | BadImageError, path: str, side: int, channels: int, why: str) -> Pixels:
    if isinstance(content, BadImageError):
        raise content
    width, height = images.open_image(content, path, max_pixels=MAX_PIXELS).image.size
    if (width, height) != (side, side):
        raise BadImageError(f"it has {width} x {height} pixels, and {side} x {side} are needed ({why})")
    return images.prepare_image(
        content, path, resolution=side, channels=channels, background=BACKGROUND, max_pixels=MAX_PIXELS
    ).pixels


def _why(plan: Plan) -> str:
    if plan.scale > 1:
        return f"the model makes images of {plan.side} x {plan.side}, and the scale is {plan.scale}"
    return "the size of the model's images"


def _matching(observed: Mapping[str, Pixels], truth: Mapping[str, Pixels], given: Path, at: Path) -> list[Pixels]:
    """The true picture of each input: the one of the same name, or file for file."""
    if given.is_file() and at.is_file() and len(observed) == len(truth) == 1:
        return list(truth.values())
    missing = [name for name in observed if name not in truth]
    if missing:
        raise DataError(f"{at} has no picture of the same name for these of {given}:\n{listing(missing, 5)}")
    return [truth[name] for name in observed]
