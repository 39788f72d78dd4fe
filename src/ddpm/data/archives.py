"""Images in zip and tar archives, read without ever unpacking them to disk.

No absolute names, no `..`, no links or devices (CVE-2025-4517 is one of many reasons), sizes capped.
"""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ddpm.data.entries import Entry, read_capped, safe_name, wanted
from ddpm.data.errors import BadImageError, DataError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_ARCHIVE_BYTES = 256 * 2**30
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)
"""What the libraries raise at a broken archive."""

Files = Iterator[tuple[Entry, bytes | BadImageError]]


def kind_of(location: Path) -> str | None:
    """`zip`, `tar`, or None for a file that is neither; told by its content, since DVC names it `data`."""
    with told(location):
        if zipfile.is_zipfile(location):
            return "zip"
        return "tar" if location.stat().st_size and tarfile.is_tarfile(location) else None


def list_zip(location: Path) -> list[Entry]:
    """All wanted files of a zip archive."""
    entries = []
    with zipfile.ZipFile(location) as archive:
        for info in archive.infolist():
            path = safe_name(location, info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DataError(_link_in_archive(location, info.filename))
            if not info.is_dir() and wanted(path):
                entries.append(Entry(str(path), info.file_size))
    _check_total(location, sum(entry.size for entry in entries))
    return entries


def list_tar(location: Path) -> list[Entry]:
    """All wanted files of a tar archive, compressed or not."""
    entries = []
    total = 0
    with told(location), tarfile.open(location) as archive:
        for member in archive:
            path = safe_name(location, member.name)
            if not member.isfile() and not member.isdir():
                raise DataError(_link_in_archive(location, member.name))
            total += member.size
            _check_total(location, total)
            if member.isfile() and wanted(path):
                entries.append(Entry(str(path), member.size))
        _check_end(archive)
    return entries


def _check_end(archive: tarfile.TarFile) -> None:
    """A whole archive ends with zero blocks; the library passes over a header that is cut off or damaged."""
    if archive.fileobj is None:
        raise tarfile.ReadError("it is closed")
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"it is cut off or damaged at byte {archive.offset:,}")


def _link_in_archive(location: Path, name: str) -> str:
    return f"{location}: {name!r} is a link or a device, not a file. Nothing was read. Make the archive without links."


def _check_total(location: Path, total: int) -> None:
    """Refuse an archive that unpacks to more than anybody means."""
    if total > MAX_ARCHIVE_BYTES:
        raise DataError(
            f"{location} unpacks to {total / 2**30:,.0f} GiB, above the limit of {MAX_ARCHIVE_BYTES / 2**30:,.0f} GiB. "
            "Is it a decompression bomb? If not, unpack it and give the folder."
        )


def read_zip(location: Path, entries: Sequence[Entry]) -> Files:
    """Each of the entries once, in the order of the archive."""
    known = {entry.path: entry for entry in entries}
    with zipfile.ZipFile(location) as archive:
        for info in archive.infolist():
            entry = known.get(str(PurePosixPath(info.filename)))
            if entry is None or info.is_dir():
                continue
            try:
                with archive.open(info) as file:
                    yield entry, read_capped(file)
            except (*DAMAGE, RuntimeError, NotImplementedError, ValueError) as error:
                # RuntimeError: encrypted; NotImplementedError: a compression that Python lacks.
                yield entry, BadImageError(f"the archive is damaged here or protected ({error}); make it again")


def read_tar(location: Path, entries: Sequence[Entry]) -> Files:
    """Each of the entries once, in the order of the archive."""
    known = {entry.path: entry for entry in entries}
    with told(location), tarfile.open(location) as archive:
        for member in archive:
            entry = known.get(str(PurePosixPath(member.name)))
            file = archive.extractfile(member) if entry is not None and member.isfile() else None
            if entry is not None and file is not None:
                yield entry, read_capped(file)


@contextmanager
def told(location: Path) -> Iterator[None]:
    """Say which archive is damaged; the libraries do not."""
    try:
        yield
    except DAMAGE as error:
        raise DataError(f"{location} cannot be read: {error}. Is the archive whole? Fetch or make it again.") from error
