"""Conversion of one image file to one square array.

The steps, in this order: open and check, first frame, EXIF orientation, interpretation of the values
(`ddpm.data.meaning`: polarity, bits, transparent colours, colour profile), centre crop to a square, conversion to
floats from 0 to 255, alpha composited over the background, bicubic resize with antialiasing (Pillow's, on floats,
channel by channel; as in clean-fid), grey from colour by ITU-R 601 or colour from grey by repetition, and a single
rounding to uint8 at the end. An image of the right size and channels without a profile keeps its exact pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ddpm.data.opening import Opened, open_image

__all__ = ["Opened", "Picture", "open_image", "prepare_image", "square_of_floats", "whole_image"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

FLAT = 8  # grey levels: a lower contrast is invisible
PLAIN = {1: "L", 3: "RGB"}
"""Modes of 8 bits without transparency, by number of channels."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601-2, as Pillow's own conversion


@dataclass(frozen=True)
class Picture:
    """A prepared image: pixels uint8 (side, side, channels); format, mode and size are those of the file."""

    pixels: Pixels
    format: str
    mode: str
    size: tuple[int, int]
    done: tuple[str, ...]


def prepare_image(
    content: bytes, path: str, *, resolution: int, channels: int, background: int, max_pixels: int
) -> Picture:
    """Decode one file and make it a square of `resolution` pixels with 1 or 3 channels. Raises BadImageError."""
    opened = open_image(content, path, max_pixels=max_pixels)
    if (
        opened.image.size == (resolution, resolution)
        and opened.image.mode == PLAIN[channels]
        and _is_plain(opened.image)
    ):
        pixels = np.array(opened.image).reshape(resolution, resolution, channels)
        return Picture(pixels, opened.format, opened.mode, opened.size, opened.done)
    done = list(opened.done)
    squared = square_of_floats(opened.image, resolution, background, done)
    if "alpha" in done and np.ptp(squared) < FLAT and _shows_something(opened.image):
        done.append("invisible")
    values = to_channels(squared, channels, done)
    return Picture(to_uint8(values), opened.format, opened.mode, opened.size, tuple(done))


def whole_image(content: bytes, path: str, *, channels: int, background: int, max_pixels: int) -> Pixels:
    """Decode one file to uint8 (H, W, channels), neither cropped nor resized. Raises BadImageError."""
    bands = _bands(open_image(content, path, max_pixels=max_pixels).image)
    alpha = _alpha(bands)
    values = np.stack([_channel(band, alpha, None, background) for band in bands], axis=2)
    return to_uint8(to_channels(values, channels, []))


def to_channels(values: Floats, channels: int, done: list[str]) -> Floats:
    """Convert floats (H, W, 1 or 3) to the requested channels, noting the conversion in `done`."""
    if channels == 1 and values.shape[2] == 3:
        done.append("grey")
        return (values @ LUMA)[:, :, None]
    if channels == 3 and values.shape[2] == 1:
        done.append("colour")
        return np.repeat(values, 3, axis=2)
    return values


def to_uint8(values: Floats) -> Pixels:
    """Clip to 0..255 and round."""
    pixels: Pixels = np.rint(values.clip(0, 255)).astype(np.uint8)
    return pixels


def square_of_floats(image: Image.Image, resolution: int | None, background: int, done: list[str]) -> Floats:
    """Crop and resize to float32 (side, side, 1 or 3) in 0..255, not clipped, noting it in `done`.

    resolution: None for no resize. Channels are resized one by one, so a large photograph needs memory for only one
    float channel.
    """
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if _is_plain(image) and resolution not in (None, side):
        done += ["crop"] * (width != height) + ["resize"]
        square = image.crop((left, top, left + side, top + side))
        return np.stack([_resized(band.convert("F"), resolution) for band in square.split()], axis=2)
    bands = _bands(image)
    cut = [band[top : top + side, left : left + side] for band in bands]
    alpha = _alpha(cut)
    if alpha is not None:
        done.append("alpha")
    if width != height:
        done.append("crop")
    if resolution not in (None, side):
        done.append("resize")
    return np.stack([_channel(band, alpha, resolution, background) for band in cut], axis=2)


def _alpha(bands: list[NDArray[np.generic]]) -> Floats | None:
    """Remove and return the alpha channel, scaled to 0..1, if there is one."""
    return bands.pop().astype(np.float32) / np.float32(255) if len(bands) in (2, 4) else None


def _shows_something(image: Image.Image) -> bool:
    """Return True if opacity varies between pixels."""
    alpha = _alpha(_bands(image))
    return alpha is not None and bool(np.ptp(alpha) > FLAT / 255)


def _channel(band: NDArray[np.generic], alpha: Floats | None, resolution: int | None, background: int) -> Floats:
    """Convert one channel to floats, composite it over the background, and resize it."""
    values = band.astype(np.float32)
    if band.dtype.itemsize == 2:
        values /= 257  # 65535 becomes 255
    if alpha is not None:
        values = values * alpha + background * (1 - alpha)
    if resolution in (None, values.shape[0]):
        return values
    return _resized(Image.fromarray(values), resolution)


def _resized(image: Image.Image, resolution: int) -> Floats:
    """Resize one channel of floats (mode F)."""
    return np.asarray(image.resize((resolution, resolution), Image.Resampling.BICUBIC), np.float32)


def _is_plain(image: Image.Image) -> bool:
    """Return True for grey or colour of 8 bits without transparency: its levels are exact floats as they are."""
    return image.mode in PLAIN.values() and not image.has_transparency_data


def _bands(image: Image.Image) -> list[NDArray[np.generic]]:
    """Split into channels (H, W): grey, grey + alpha, three colours, or three colours + alpha."""
    if image.mode.startswith("I;16"):
        return [np.asarray(image)]
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return [np.asarray(band) for band in image.split()]
