"""Inputs of a restoration, read from files or arrays and checked before sampling."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm.data import exact
from ddpm.data.errors import DataError, listing
from ddpm.data.exact import Pixels
from ddpm.restore.tasks import Plan


@dataclass(frozen=True)
class Inputs:
    """Pictures: names (N,); observed (N, h, w, c) uint8; known (H, W), False where to paint; truth (N, H, W, C)."""

    names: tuple[str, ...]
    observed: Pixels
    known: NDArray[np.bool_] | None
    truth: Pixels | None


def read(
    plan: Plan, given: Path | Pixels, mask: Path | NDArray[np.bool_] | None = None, truth: Path | None = None
) -> Inputs:
    """Read the inputs of a plan: files, folders or archives, or an array (N, h, w, c) with images named 0, 1, ...

    mask: one file, or (H, W), True where to paint. Raises DataError with the input, its fault and the requirement.
    """
    observed = (
        exact.read(given, plan.observed_side, plan.observed_channels, _why(plan))
        if isinstance(given, Path)
        else _of_array(plan, given)
    )
    known = None if mask is None else read_mask(mask, plan.side)
    true = None
    if truth is not None and isinstance(given, Path):
        found = exact.read(truth, plan.side, plan.channels, "the truth has the size of the model's images")
        true = np.stack(_matching(observed, found, given, truth))
    return Inputs(tuple(observed), np.stack(list(observed.values())), known, true)


def read_mask(mask: Path | NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Read a mask as (H, W), True where it is black and the image is kept. Raises DataError."""
    if isinstance(mask, Path):
        if mask.is_dir():
            raise DataError(f"the mask {mask} is a folder; give one file, used for all inputs")
        why = "a mask has the size of the model's images"
        known: NDArray[np.bool_] = next(iter(exact.read(mask, side, 1, why).values()))[:, :, 0] < 128
        name, black, white = f"the mask {mask}", "black", "white"
    else:
        if mask.dtype != np.bool_ or mask.shape != (side, side):
            raise DataError(f"the mask holds {mask.dtype} of shape {mask.shape}; must be bool ({side}, {side})")
        known, name, black, white = ~mask, "the mask", "False", "True"
    if known.all():
        raise DataError(f"{name} is all {black}: nothing to paint. Make it {white} where to paint.")
    if not known.any():
        raise DataError(f"{name} is all {white}: nothing is kept. To generate whole images, use `ddpm sample`.")
    return known


def _of_array(plan: Plan, images: Pixels) -> dict[str, Pixels]:
    """Name the images of an array by their index. Raises DataError for another type or shape."""
    side, channels = plan.observed_side, plan.observed_channels
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or images.shape[1:] != (side, side, channels):
        raise DataError(
            f"the images are {images.dtype} of shape {images.shape}; must be uint8 (N, {side}, {side}, {channels}): "
            f"{_why(plan)}"
        )
    return {str(number): image for number, image in enumerate(images)}


def _why(plan: Plan) -> str:
    if plan.scale > 1:
        return f"the model generates images of {plan.side} x {plan.side}, and the scale is {plan.scale}"
    return "the size of the model's images"


def _matching(observed: Mapping[str, Pixels], truth: Mapping[str, Pixels], given: Path, at: Path) -> list[Pixels]:
    """Match the true picture to each input, by name, or a single file to a single file. Raises DataError."""
    if given.is_file() and at.is_file() and len(observed) == len(truth) == 1:
        return list(truth.values())
    missing = [name for name in observed if name not in truth]
    if missing:
        raise DataError(f"{at} has no pictures of the same name for these of {given}:\n{listing(missing, 5)}")
    return [truth[name] for name in observed]
