"""Decoding of one image file to an upright, interpreted image, or an error with reason and remedy."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image, UnidentifiedImageError

from ddpm.data import metadata, tiff
from ddpm.data.entries import ENDINGS, VARIANTS
from ddpm.data.errors import BadImageError
from ddpm.data.meaning import interpret
from ddpm.data.pillow_limit import pixel_limit

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "CMYK", "YCbCr")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition by EXIF orientation."""


@dataclass(frozen=True)
class Opened:
    """A decoded, upright image with format, mode and size of its file."""

    image: Image.Image
    format: str
    mode: str
    size: tuple[int, int]
    done: tuple[str, ...]


def open_image(content: bytes, path: str, *, max_pixels: int) -> Opened:
    """Check and decode one file. Raises BadImageError with reason and remedy."""
    ending = PurePosixPath(path).suffix.lower()
    if ending not in ENDINGS:
        raise BadImageError(
            f"its ending {ending or '(none)'} is unknown; remove it, or convert it to {', '.join(ENDINGS)}"
        )
    if not content:
        raise BadImageError("it is empty (zero bytes); fetch it again or remove it")
    problem: Exception | None = None
    with pixel_limit(max_pixels):
        for attempt in _attempts(content):
            try:
                with Image.open(io.BytesIO(attempt.content), formats=sorted({*ENDINGS.values(), "DIB"})) as image:
                    return _decode(image, content, ending, max_pixels, list(attempt.done))
            except BadImageError:
                raise
            except Image.DecompressionBombError as error:
                raise BadImageError(_bomb(str(error).partition(",")[0], max_pixels)) from error
            except Exception as error:  # noqa: BLE001  # a decoder that meets a broken file may raise anything
                problem = problem or error
    raise BadImageError(_reason(problem, content, ending)) from problem


@dataclass(frozen=True)
class Attempt:
    """A form of the file to decode, and notes on what was ignored."""

    content: bytes
    done: tuple[str, ...] = ()


def _attempts(content: bytes) -> Iterator[Attempt]:
    """Yield the file unchanged, then without metadata, then as a TIFF layout that Pillow can read."""
    yield Attempt(content)
    for meaning, note in ((True, "metadata-ignored"), (False, "all-metadata-ignored")):
        rest = metadata.strip(content, meaning=meaning)
        if rest != content:
            yield Attempt(rest, (note,))
    found = tiff.directory(content)
    if found is not None and found.numbers(content, tiff.PHOTOMETRIC) == (0,):
        yield Attempt(tiff.black_is_zero(content))  # `interpret` gets the original file


def _decode(image: Image.Image, content: bytes, ending: str, max_pixels: int, done: list[str]) -> Opened:
    """Check the header, then decode."""
    kind = VARIANTS.get(str(image.format), str(image.format))
    if kind != ENDINGS[ending]:
        raise BadImageError(
            f"its ending {ending} means {ENDINGS[ending]}, but its content is {kind}; rename it to .{kind.lower()}"
        )
    width, height = image.size
    if width * height > max_pixels:
        raise BadImageError(_bomb(f"{width} x {height} pixels", max_pixels))
    if image.mode not in MODES:
        raise BadImageError(
            f"its mode {image.mode} is not one of {', '.join(MODES)}; convert it to 8 or 16 bits per channel"
        )
    mode = image.mode
    if kind != "JPEG" and getattr(image, "is_animated", False):
        image.seek(0)
        done.append("first-frame")
    image.load()
    orientation = _orientation(image)
    upright = image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image.copy()
    if orientation in UPRIGHT:
        done.append("exif")
    return Opened(interpret(upright, content, done), kind, mode, (width, height), tuple(done))


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; 1 if unreadable."""
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001  # a parser that meets broken metadata may raise anything; the pixels are whole
        return 1
    return found if isinstance(found, int) else 1


def _reason(error: Exception | None, content: bytes, ending: str) -> str:
    """Describe why a file cannot be decoded, with a remedy."""
    if not isinstance(error, UnidentifiedImageError):
        return f"it is truncated or damaged ({error}); fetch it again or remove it"
    layout = tiff.described(content)
    if ENDINGS[ending] == "TIFF" and layout:
        return f"its layout ({layout}) is not supported; convert it to 8 or 16 bits per channel"
    return f"its content is not {ENDINGS[ending]}, nor any known format; fetch it again or remove it"


def _bomb(size: str, max_pixels: int) -> str:
    return f"{size}: more than prepare.max_pixels = {max_pixels}; shrink it or raise the limit"
