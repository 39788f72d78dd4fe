"""One image file to one square array.

The steps, in this order: open and check, first frame, EXIF orientation, centre crop to a square, values as floats from
0 to 255, alpha laid over the background, bicubic resize with antialiasing (Pillow's, on floats, channel by channel; as
in clean-fid), grey from colour by ITU-R 601 or colour from grey by repetition, one rounding to uint8 at the very end.
An image that has the right size and channels already keeps its pixels to the bit.
"""

import io
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ddpm.data.entries import ENDINGS, VARIANTS
from ddpm.data.errors import BadImageError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "CMYK", "YCbCr")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601-2, as Pillow's own conversion


@dataclass(frozen=True)
class Opened:
    """A decoded image, upright, and where it came from."""

    image: Image.Image
    format: str
    mode: str
    size: tuple[int, int]
    done: tuple[str, ...]


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
    done = list(opened.done)
    values = in_channels(square_of_floats(opened.image, resolution, background, done), channels, done)
    return Picture(rounded(values), opened.format, opened.mode, opened.size, tuple(done))


def whole_image(content: bytes, path: str, *, channels: int, background: int, max_pixels: int) -> Pixels:
    """Decode one file as it is, neither cropped nor resized: uint8 (H, W, channels). Raises BadImageError."""
    bands = _bands(open_image(content, path, max_pixels=max_pixels).image)
    alpha = _alpha(bands)
    values = np.stack([_channel(band, alpha, None, background) for band in bands], axis=2)
    return rounded(in_channels(values, channels, []))


def in_channels(values: Floats, channels: int, done: list[str]) -> Floats:
    """Floats (H, W, 1 or 3) with the channels asked for; `done` is told what was done."""
    if channels == 1 and values.shape[2] == 3:
        done.append("grey")
        return (values @ LUMA)[:, :, None]
    if channels == 3 and values.shape[2] == 1:
        done.append("colour")
        return np.repeat(values, 3, axis=2)
    return values


def rounded(values: Floats) -> Pixels:
    """Clipped to 0..255 and rounded once."""
    pixels: Pixels = np.rint(values.clip(0, 255)).astype(np.uint8)
    return pixels


def open_image(content: bytes, path: str, *, max_pixels: int) -> Opened:
    """Check and decode one file. Raises BadImageError with reason and remedy."""
    ending = PurePosixPath(path).suffix.lower()
    if ending not in ENDINGS:
        raise BadImageError(
            f"its ending {ending or '(none)'} is unknown; remove it, or convert it to {', '.join(ENDINGS)}"
        )
    if not content:
        raise BadImageError("it is empty (zero bytes); fetch it again or remove it")
    try:
        with Image.open(io.BytesIO(content), formats=sorted({*ENDINGS.values(), "DIB"})) as image:
            return _decode(image, ending, max_pixels)
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        kind = ENDINGS[ending]
        raise BadImageError(
            f"its content is no {kind} image, nor any known kind; fetch it again or remove it"
        ) from error
    except Image.DecompressionBombError as error:
        raise BadImageError(_bomb(str(error).partition(",")[0], max_pixels)) from error
    except Exception as error:  # a decoder that meets a broken file may raise anything
        raise BadImageError(f"it is truncated or damaged ({error}); fetch it again or remove it") from error


def _decode(image: Image.Image, ending: str, max_pixels: int) -> Opened:
    """Check what the header says, then decode."""
    kind = VARIANTS.get(str(image.format), str(image.format))
    if kind != ENDINGS[ending]:
        raise BadImageError(
            f"its ending {ending} says {ENDINGS[ending]}, its content is {kind}; rename it to .{kind.lower()}"
        )
    width, height = image.size
    if width * height > max_pixels:
        raise BadImageError(_bomb(f"{width} x {height} pixels", max_pixels))
    if image.mode not in MODES:
        raise BadImageError(
            f"its mode {image.mode} is not one of {', '.join(MODES)}; convert it to 8 or 16 bits per channel"
        )
    done = []
    mode = image.mode
    if kind != "JPEG" and getattr(image, "is_animated", False):
        image.seek(0)
        done.append("first-frame")
    image.load()
    upright = ImageOps.exif_transpose(image)
    if image.getexif().get(0x0112, 1) in range(2, 9):
        done.append("exif")
    return Opened(upright, kind, mode, (width, height), tuple(done))


def _bomb(size: str, max_pixels: int) -> str:
    return f"{size}: more than prepare.max_pixels = {max_pixels}; shrink it, or raise the limit if you mean it"


def square_of_floats(image: Image.Image, resolution: int | None, background: int, done: list[str]) -> Floats:
    """Float32 (side, side, 1 or 3) in 0..255, not clipped; `done` is told what was done. No resolution: no resize.

    Channels are resized one by one, so that a large photograph needs memory for one float channel, not for all.
    """
    bands = _bands(image)
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
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
    """Take the alpha channel off, if there is one, as shares."""
    return bands.pop().astype(np.float32) / np.float32(255) if len(bands) in (2, 4) else None


def _channel(band: NDArray[np.generic], alpha: Floats | None, resolution: int | None, background: int) -> Floats:
    """One channel: to floats, over the background, to size."""
    values = band.astype(np.float32)
    if band.dtype.itemsize == 2:
        values /= 257  # 65535 becomes 255
    if alpha is not None:
        values = values * alpha + background * (1 - alpha)
    if resolution in (None, values.shape[0]):
        return values
    size = (resolution, resolution)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC), np.float32)


def _bands(image: Image.Image) -> list[NDArray[np.generic]]:
    """The channels as arrays (H, W): grey, grey + alpha, three colours, or three colours + alpha."""
    if image.mode.startswith("I;16"):
        return [np.asarray(image)]
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return [np.asarray(band) for band in image.split()]
