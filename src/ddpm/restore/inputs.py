"""Inputs of a restoration, read from files and checked before weights are loaded."""

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


def read(plan: Plan, given: Path, mask: Path | None = None, truth: Path | None = None) -> Inputs:
    """Read the inputs of a plan, each a file, folder or archive; the mask is one file.

    Raises DataError with the file, its fault and the requirement.
    """
    observed = exact.read(given, plan.observed_side, plan.observed_channels, _why(plan))
    known = None if mask is None else read_mask(mask, plan.side)
    true = None
    if truth is not None:
        found = exact.read(truth, plan.side, plan.channels, "the truth has the size of the model's images")
        true = np.stack(_matching(observed, found, given, truth))
    return Inputs(tuple(observed), np.stack(list(observed.values())), known, true)


def read_mask(path: Path, side: int) -> NDArray[np.bool_]:
    """Read a mask as (H, W), True where it is black and the image is kept. Raises DataError."""
    if path.is_dir():
        raise DataError(f"the mask {path} is a folder; give one file, used for all inputs")
    mask = next(iter(exact.read(path, side, 1, "a mask has the size of the model's images").values()))[:, :, 0]
    known: NDArray[np.bool_] = mask < 128
    if known.all():
        raise DataError(f"the mask {path} is all black: nothing to paint. Make it white where to paint.")
    if not known.any():
        raise DataError(f"the mask {path} is all white: nothing is kept. To generate whole images, use `ddpm sample`.")
    return known


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
