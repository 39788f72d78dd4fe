"""One file of a source: which names are meant, which are safe, and how much of it may be read."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ddpm.data.errors import BadImageError, DataError

ENDINGS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}
"""The allow-list: file name ending (lower case) to image format."""

MAX_FILE_BYTES = 512 * 2**20
MAX_ARCHIVE_BYTES = 256 * 2**30

# Files that accompany images and are passed over: texts about them, and what file managers leave behind.
PASSED_OVER = re.compile(
    r"((readme|licen[cs]e|copying|attribution|citation)(\.(txt|md|rst|html))?|thumbs\.db|desktop\.ini)", re.I
)


@dataclass(frozen=True, order=True)
class Entry:
    """One file: its path inside the source (`cats/a.png`), and its size in bytes."""

    path: str
    size: int


def wanted(path: PurePosixPath) -> bool:
    """Whether a file is meant as an image: not hidden, no resource fork, no text that accompanies images."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and not PASSED_OVER.fullmatch(path.name)


def safe_name(location: Path, name: str) -> PurePosixPath:
    """The name of an archive's member as a relative path. Raises DataError for one that leads outside."""
    path = PurePosixPath(name)
    if "\\" in name or "\0" in name or path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DataError(
            f"{location} holds a file named {name!r}, which leads out of the archive. Nothing was read. "
            "Make the archive again with relative names, or use one that you trust."
        )
    return utf8(location, path)


def utf8(location: Path, path: PurePosixPath) -> PurePosixPath:
    """The path, if it can be written down as UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{location}: the name {str(path)!r} is not valid UTF-8. Rename the file.") from error
    return path


def read_capped(file: IO[bytes]) -> bytes | BadImageError:
    """What the file holds, unless it is too large."""
    content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        return BadImageError(
            f"it is larger than {MAX_FILE_BYTES // 2**20} MiB; no image that is meant is, so remove it"
        )
    return content
