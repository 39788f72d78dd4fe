"""Files of a source: names that count as images, names that are safe, and the size limit."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from ddpm.common import units
from ddpm.data.errors import BadImageError, DataError

ENDINGS = {
    ".png": "PNG",
    ".apng": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jif": "JPEG",
    ".jfif": "JPEG",
    ".jfi": "JPEG",
    ".mpo": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}
"""The allow-list: file name ending (lower case) to image format."""

VARIANTS = {"MPO": "JPEG", "DIB": "BMP"}
"""Pillow's names of format variants: JPEG with further views (MPO), BMP without a file header (DIB)."""

MAX_FILE_BYTES = 512 * 2**20
MAX_ARCHIVE_BYTES = 256 * 2**30

# Files that accompany images and are ignored: texts about them, and files of file managers.
PASSED_OVER = re.compile(
    r"((readme|licen[cs]e|copying|attribution|citation)(\.(txt|md|rst|html))?"
    r"|e?h?thumbs(_vista)?\.db(:.*)?|desktop\.ini|picasa\.ini|zbthumbnail\.info|icon\r)",
    re.I,
)
SYSTEM_FOLDERS = re.compile(
    r"__macosx|network trash folder|temporary items|thevolumesettingsfolder"  # macOS
    r"|\$recycle\.bin|system volume information|found\.\d{3}|\$extend"  # Windows
    r"|@eadir|@tmp|@sharebin|#recycle|#snapshot"  # Synology
    r"|@recycle|@recently-snapshot|@__thumb"  # QNAP
    r"|~snapshot|lost\+found"  # NetApp, ext4
    r"|__pycache__|_vti_(bin|cnf|pvt|txt)",  # Python, FrontPage
    re.I,
)
"""Folders of operating systems, network drives and tools: trash, snapshots and thumbnails, never a user's pictures."""


@dataclass(frozen=True, order=True)
class Entry:
    """One file: its path inside the source (`cats/a.png`), its size in bytes, and its name there if that differs."""

    path: str
    size: int
    name: str = field(default="", compare=False)


LABELS = "dataset.json"
"""File of labels in sets made for StyleGAN and EDM."""


@dataclass
class Listing:
    """The files of a source: images, images left out (system folders, hidden files), and label files."""

    entries: list[Entry] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    labels: tuple[str, bytes | BadImageError] | None = None

    def add(self, path: PurePosixPath, size: int, name: str) -> bool:
        """Classify and add a file; return True if it is the topmost dataset.json so far, to be read into `labels`."""
        if (reason := left_out(path)) is not None:
            if path.suffix.lower() in ENDINGS:
                self.left_out["hidden" if reason.startswith(".") else reason] += 1
        elif wanted(path):
            self.entries.append(Entry(str(path), size, name if name != str(path) else ""))
            if path.name == LABELS:
                return self.labels is None or len(path.parts) < len(PurePosixPath(self.labels[0]).parts)
        return False


def wanted(path: PurePosixPath) -> bool:
    """Return True for a file meant as an image: not hidden, not a resource fork, not a text that accompanies images."""
    return left_out(path) is None and not PASSED_OVER.fullmatch(path.name)


def left_out(path: PurePosixPath) -> str | None:
    """Return the system folder (`@eaDir`) or hidden name that excludes a file from the set; None for all others.

    The rules for files do not apply to folders: a class may be called `license`.
    """
    for part in path.parts[:-1]:
        if part.startswith(".") or SYSTEM_FOLDERS.fullmatch(part):
            return part
    return path.name if path.name.startswith(".") else None


def inner_path(location: Path, name: str) -> PurePosixPath:
    """Convert the name of a file in a source to a relative path. Raises DataError for one that leads outside.

    Backslashes separate, as in Windows archives; accented letters are composed (NFC), unlike on macOS. So a folder and
    an archive of it have equal paths on every platform.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/")))
    if "\0" in name or path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:(/|$)", str(path)):
        raise DataError(
            f"{location} holds a file named {name!r}, which leads out of the archive. Nothing was read. "
            "Recreate the archive with relative names, or use a trusted one."
        )
    return utf8(location, path)


def utf8(location: Path, path: PurePosixPath) -> PurePosixPath:
    """Return the path if it is valid UTF-8. Raises DataError."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{location}: the name {str(path)!r} is not valid UTF-8. Rename the file.") from error
    return path


def read_capped(file: IO[bytes]) -> bytes | BadImageError:
    """Read a file of at most MAX_FILE_BYTES; return a BadImageError for a larger one."""
    content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        return BadImageError(
            f"it is larger than the limit of {units.size(MAX_FILE_BYTES)} for one image; remove or shrink it"
        )
    return content
