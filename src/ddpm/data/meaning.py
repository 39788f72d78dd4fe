"""Interpretation of decoded pixels: polarity, significant bits, transparency, colour profile.

The result is an image in a Pillow mode, with 0 black, the largest value white, and colours in sRGB.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddpm.data import colour, metadata, tiff

WHITE = 65535


def interpret(image: Image.Image, content: bytes, done: list[str]) -> Image.Image:
    """Interpret the loaded `image` of the file `content`, appending each conversion to `done`."""
    profile = image.info.get("icc_profile")
    transparency = image.info.get("transparency")
    if _depth(content) in (12, 16):
        done.append("to-8-bits")
    if image.mode.startswith("I;16"):
        image = _sixteen(image, content, done)
    elif image.mode == "LA" and _white_is_zero(content):
        grey, alpha = image.split()
        image = Image.merge("LA", (grey.point(lambda value: 255 - value), alpha))
        done.append("white-is-zero")
    elif content.startswith(b"\x89PNG") and image.mode in ("1", "L", "RGB") and transparency is not None:
        image = _keyed(image, content[24], transparency)
    return _in_srgb(image, profile, done) if profile else image


def _sixteen(image: Image.Image, content: bytes, done: list[str]) -> Image.Image:
    """Scale grey of up to 16 bits to 16 bits."""
    values = np.asarray(image).astype(np.uint16)
    bits = _bits(values, content)
    scaled = values if bits == 16 else np.rint(values * (WHITE / (2**bits - 1))).clip(0, WHITE).astype(np.uint16)
    if bits != 16:
        done.append(f"{bits}-bits")
    if _white_is_zero(content):
        scaled = WHITE - scaled
        done.append("white-is-zero")
    found = image if scaled is values else Image.fromarray(scaled)
    key = image.info.get("transparency")
    if isinstance(key, int):
        alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
        grey = Image.fromarray(np.rint(scaled / 257).astype(np.uint8))
        return Image.merge("LA", (grey, alpha))
    return found


def _depth(content: bytes) -> int:
    """Return the bits per sample of a PNG or TIFF; 8 for other files."""
    if content.startswith(b"\x89PNG"):
        return content[24]
    found = tiff.directory(content)
    return (found.numbers(content, tiff.BITS) or (8,))[0] if found else 8


def _bits(values: NDArray[np.uint16], content: bytes) -> int:
    """Return the significant bits of 16: those of a TIFF's samples, or those a PNG declares if no value exceeds them.

    By the standard, a PNG's significant bits are the high ones, which needs no change; some writers use the low ones.
    That is certain once a pixel is neither zero-padded nor scaled.
    """
    if tiff.directory(content) is not None:
        return _depth(content)
    declared = next((data[0] for name, data, _ in metadata.png_chunks(content) if name == b"sBIT" and data), 16)
    if not 1 <= declared < 16 or values.max() >= 2**declared:
        return 16
    left = (values >> (16 - declared)).astype(np.float64)
    filled = left * 2 ** (16 - declared)
    scaled = np.rint(left * (WHITE / (2**declared - 1)))
    on_the_left = (values == filled) | (np.abs(values - scaled) <= 1)
    return 16 if on_the_left.all() else declared


def _white_is_zero(content: bytes) -> bool:
    """Return True if a TIFF of this layout, which Pillow does not invert, defines zero as white."""
    found = tiff.directory(content)
    return found is not None and found.numbers(content, tiff.PHOTOMETRIC) == (0,)


def _keyed(image: Image.Image, depth: int, key: int | tuple[int, ...]) -> Image.Image:
    """Add alpha to a PNG with one transparent grey or colour; `key` has `depth` bits, pixels have 8."""
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    top = 2**depth - 1
    keys = [value & top for value in ((key,) if isinstance(key, int) else key)]
    wanted = [value >> 8 if depth == 16 else value * 255 // top for value in keys]
    same = (values.reshape(*values.shape[:2], -1) == wanted).all(axis=2)
    alpha = Image.fromarray(np.where(same, 0, 255).astype(np.uint8))
    bands = Image.fromarray(values).split()
    return Image.merge("LA" if len(bands) == 1 else "RGBA", (*bands, alpha))


def _in_srgb(image: Image.Image, profile: bytes, done: list[str]) -> Image.Image:
    """Convert the image to sRGB; an unusable profile is ignored and noted."""
    alpha = None
    colours = image
    if image.has_transparency_data:
        *bands, alpha = image.convert("LA" if image.mode in ("L", "LA") else "RGBA").split()
        colours = bands[0] if len(bands) == 1 else Image.merge("RGB", bands)
    elif image.mode == "1":
        return image
    elif image.mode.startswith("I;16"):
        colours = Image.fromarray(np.asarray(image).astype(np.uint16))
    elif image.mode not in ("L", "RGB", "CMYK"):
        colours = image.convert("RGB")
    try:
        converted = colour.to_srgb(colours, profile)
    except colour.ProfileError:
        done.append("profile-unusable")
        return image
    if converted is None:
        return image
    done.append("to-srgb")
    if alpha is None:
        return converted
    return Image.merge("LA" if converted.mode == "L" else "RGBA", (*converted.split(), alpha))
