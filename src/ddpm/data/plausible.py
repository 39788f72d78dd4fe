"""Plausibility checks of a prepared set as a whole."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ddpm.data.blocks import blocks
from ddpm.data.errors import DataError

DARK = 64
"""Threshold of the warnings about a set's brightest pixel and the range of its pixels (0 to 255)."""
SIXTEEN_BITS = "to-8-bits"


def check_different(pixels_sha256: Sequence[str], done: Sequence[Sequence[str]], background: int) -> None:
    """Raise DataError with the reason if all prepared images are identical."""
    if len(set(pixels_sha256)) > 1 or len(pixels_sha256) < 2:
        return
    total = f"All {len(pixels_sha256):,} images are identical once prepared"
    if any("invisible" in each for each in done):
        raise DataError(
            f"{total}: their content has colour {background} on a transparent ground, which "
            f"prepare.background = {background} makes invisible. Set prepare.background: {_other(background)}."
        )
    if all("alpha" in each for each in done):
        raise DataError(f"{total}: they are fully transparent. Give visible images.")
    raise DataError(f"{total}, in every pixel. Give images that differ; check the files of the source.")


def copies(pixels_sha256: Sequence[str], done: Sequence[Sequence[str]], background: int) -> str:
    """Explain an unbalanced split by identical images; "" if at most a tenth are copies."""
    different, total = len(set(pixels_sha256)), len(pixels_sha256)
    if different > 0.9 * total:
        return ""
    found = f"Only {different:,} of {total:,} images differ, and copies stay on one side of the split"
    invisible = sum("invisible" in each for each in done)
    return f"{found}; {_invisible(invisible, total, background)}" if invisible else found


def warnings(images: NDArray[np.uint8], done: Sequence[Sequence[str]], background: int) -> list[str]:
    """List warnings about images (N, H, W, C), given the conversions of each."""
    darkest, brightest = extremes(images)
    found = _range_of(int(darkest.min()), int(brightest.max()))
    if not found:
        deep = np.array([SIXTEEN_BITS in each for each in done])
        if deep.any() and brightest[deep].max() < DARK:
            found.append(
                f"the brightest pixel of the {int(deep.sum()):,} images of 16 bits is {brightest[deep].max()} of 255; "
                f"{_LOST}"
            )
    elif any(SIXTEEN_BITS in each for each in done):
        found[0] += f"; {_LOST}"
    invisible = sum("invisible" in each for each in done)
    if invisible:
        found.append(_invisible(invisible, len(done), background))
    flat = int((darkest == brightest).sum()) - invisible
    if flat > len(done) / 10:
        found.append(f"{flat:,} of {len(done):,} images have one colour in every pixel")
    return found


_LOST = (
    "16-bit images whose values end far below 65,535 (4,095 for 12 bits) lose nearly all their grey levels: "
    "multiply their values so that white is 65,535"
)


def extremes(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the darkest and the brightest value (N,) of each image."""
    darkest, brightest = np.empty(len(images), np.uint8), np.empty(len(images), np.uint8)
    for start, block in blocks(images):
        darkest[start : start + len(block)] = block.min(axis=(1, 2, 3))
        brightest[start : start + len(block)] = block.max(axis=(1, 2, 3))
    return darkest, brightest


def _range_of(darkest: int, brightest: int) -> list[str]:
    """Warn of a set that uses only a small part of 0 to 255."""
    if brightest < DARK:
        return [f"the brightest pixel of the set is {brightest} of 255"]
    if darkest > 255 - DARK:
        return [f"the darkest pixel of the set is {darkest} of 255"]
    if brightest - darkest < DARK:
        return [f"all pixels of the set lie between {darkest} and {brightest} of 255"]
    return []


def _invisible(count: int, total: int, background: int) -> str:
    return (
        f"{count:,} of {total:,} images are invisible: their content on a transparent ground has the colour of "
        f"prepare.background = {background}; {_other(background)} would show it"
    )


def _other(background: int) -> int:
    return 255 if background < 128 else 0
