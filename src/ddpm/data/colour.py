"""Conversion of pixels with an embedded colour profile to sRGB, which all later code assumes."""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Levels = NDArray[np.uint8]
ROUNDING = 2  # grey levels by which two descriptions of sRGB may differ
NEUTRAL = np.arange(256, dtype=np.uint8)
SPACES = {"L": ("GRAY", "RGB "), "RGB": ("RGB ",), "CMYK": ("CMYK",)}


class ProfileError(ValueError):
    """A colour profile is unreadable, or for other channels than the image has."""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert an image of mode L, I;16, RGB or CMYK to sRGB (L and I;16 stay grey); None if nothing changes.

    Raises ProfileError.
    """
    if image.mode in ("RGB", "CMYK"):
        transform = _transform(profile, image.mode)
        return None if transform is None else transform.apply(image)
    levels = _grey(profile)
    if levels is None:
        return None
    if image.mode == "L":
        return image.point(levels.tolist())
    values = np.interp(np.asarray(image), np.arange(256) * 257.0, levels * 257.0)
    return Image.fromarray(np.rint(values).astype(np.uint16))


@lru_cache(maxsize=16)
def _grey(profile: bytes) -> Levels | None:
    """Compute the sRGB values of the 256 grey levels; None if they are unchanged."""
    opened = _opened(profile, "L")
    mode = "L" if opened.profile.xcolor_space == "GRAY" else "RGB"
    ramp = Image.fromarray(NEUTRAL[None]).convert(mode)
    found = np.asarray(_built(opened, mode, ImageCms.Flags.NOOPTIMIZE).apply(ramp).convert("L"))[0]
    return None if _close(found, NEUTRAL) else found


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform from the profile to sRGB; None if the profile is sRGB."""
    transform = _built(_opened(profile, mode), mode, ImageCms.Flags.HIGHRESPRECALC)
    if mode == "RGB":
        axis = np.linspace(0, 255, 9).round().astype(np.uint8)
        lattice = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
        if _close(np.asarray(transform.apply(Image.fromarray(lattice))), lattice):
            return None
    return transform


def _opened(profile: bytes, mode: str) -> ImageCms.ImageCmsProfile:
    try:
        found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = found.profile.xcolor_space
    except (OSError, ValueError, TypeError) as error:
        raise ProfileError(f"the colour profile cannot be read ({error})") from error
    if space not in SPACES[mode]:
        raise ProfileError(f"the colour profile is for {space.strip()}, but the image is {mode}")
    return found


def _built(profile: ImageCms.ImageCmsProfile, mode: str, precision: ImageCms.Flags) -> ImageCms.ImageCmsTransform:
    try:
        return ImageCms.ImageCmsTransform(
            profile,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | precision,
        )
    except (OSError, ValueError, TypeError) as error:
        raise ProfileError(f"the colour profile cannot be used ({error})") from error


def _close(found: Levels, expected: Levels) -> bool:
    return bool(np.abs(found.astype(int) - expected.astype(int)).max() <= ROUNDING)
