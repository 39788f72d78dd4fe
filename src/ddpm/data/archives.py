"""Images in zip and tar archives, read without unpacking to disk.

Absolute names, `..`, links and devices are refused (see for example CVE-2025-4517), and sizes are limited.
"""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ddpm.common import units
from ddpm.data.entries import Entry, Listing, inner_path, read_capped, wanted
from ddpm.data.errors import BadImageError, DataError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_ARCHIVE_BYTES = 256 * 2**30
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError,
    ValueError, OverflowError, IndexError, RuntimeError,
)  # fmt: skip
"""Exceptions of the libraries for a broken archive (NotImplementedError is a RuntimeError)."""

ZIP_START, ZIP_END = (b"PK\3\4", b"PK\5\6", b"PK\7\x08"), b"PK\5\6"
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
UNREAD = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar", b"\x28\xb5\x2f\xfd": "zstd", b"MSCF": "cab"}
"""Unsupported archives, recognised for the error message only."""
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
OTHER_METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 93: "zstd", 95: "xz", 98: "PPMd"}
MANY = 0xFFFF  # in a zip's end record: the number is in the zip64 record

Files = Iterator[tuple[Entry, bytes | BadImageError]]


def kind_of(location: Path) -> str | None:
    """Return `zip`, `tar`, or None for any other file, by content, since DVC names the file `data`.

    The first bytes decide: zipfile alone would accept a tar whose last member is a zip. Raises DataError for an
    unsupported or damaged archive.
    """
    with archive_errors(location):
        with location.open("rb") as file:
            start = file.read(8)
        if start.startswith(ZIP_START):
            return "zip"
        for magic, name in UNREAD.items():
            if start.startswith(magic):
                raise DataError(f"{location} is a {name} archive, which cannot be read. Unpack it and give the folder.")
        if start and tarfile.is_tarfile(location):
            return "tar"
        for magic, name in COMPRESSED.items():
            if start.startswith(magic):
                raise DataError(
                    f"{location} is compressed by {name} but is not a readable tar archive. Check that it is complete; "
                    "if it is a single compressed file, unpack it."
                )
        return "zip" if zipfile.is_zipfile(location) else None


def list_zip(location: Path) -> Listing:
    """List the files of a zip archive. Raises DataError."""
    listing = Listing()
    table: zipfile.ZipInfo | None = None
    with archive_errors(location), zipfile.ZipFile(location) as archive:
        _check_directory(location, archive.infolist())
        images = []
        for info in archive.infolist():
            name = _zip_name(info)
            path = inner_path(location, name)
            if _is_special(info):
                raise DataError(_link_in_archive(location, name))
            if not name.endswith(("/", "\\")):
                if listing.add(path, info.file_size, name):
                    table = info
                    listing.labels = (str(path), b"")
                if wanted(path):
                    images.append(info)
        _check_readable(location, images)
        _check_total(location, sum(entry.size for entry in listing.entries))
        if table is not None and listing.labels is not None:
            with archive.open(table) as file:
                listing.labels = (listing.labels[0], read_capped(file))
    return listing


def list_tar(location: Path) -> Listing:
    """List the files of a tar archive, compressed or not. Raises DataError."""
    listing = Listing()
    total = 0
    with archive_errors(location), _open_tar(location) as archive:
        for member in archive:
            name = _tar_name(member)
            path = inner_path(location, name)
            if not member.isfile() and not member.isdir():
                raise DataError(_link_in_archive(location, name))
            total += member.size
            _check_total(location, total)
            if member.isfile() and listing.add(path, member.size, name):
                file = archive.extractfile(member)
                listing.labels = (str(path), read_capped(file) if file is not None else b"")
        _check_end(archive)
    return listing


def _open_tar(location: Path) -> tarfile.TarFile:
    return tarfile.open(location, encoding="utf-8", errors="surrogateescape")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Decode a member's name as UTF-8 if valid, since macOS does not set the flag for it; else as code page 437.

    Not `info.filename`, which is cut off at a zero byte.
    """
    try:
        return info.orig_filename if info.flag_bits & 0x800 else info.orig_filename.encode("cp437").decode()
    except UnicodeError:
        return info.orig_filename


def _tar_name(member: tarfile.TarInfo) -> str:
    """Decode a member's name as UTF-8 if valid, else as Latin-1."""
    try:
        member.name.encode()
    except UnicodeEncodeError:
        return member.name.encode(errors="surrogateescape").decode("latin-1")
    return member.name


def _is_special(info: zipfile.ZipInfo) -> bool:
    """Return True for a link, device, pipe or socket."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind == stat.S_IFLNK or (info.create_system == 3 and kind not in (0, stat.S_IFREG, stat.S_IFDIR))


def _check_directory(location: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Check that a zip's central directory is complete and belongs to this file, which zipfile does not.

    Raises DataError for one volume of several, BadZipFile for a damaged directory.
    """
    with location.open("rb") as file:
        file.seek(max(0, location.stat().st_size - 22 - MANY))
        tail = file.read()
    _, disk, _, _, count, *_ = struct.unpack_from("<4s4H2LH", tail, max(0, tail.rfind(ZIP_END)))
    if disk not in (0, MANY):
        raise DataError(
            f"{location} is part {disk + 1} of an archive in several parts. Join them first (`zip -s 0 IN --out OUT`)."
        )
    if any(info.header_offset < 0 for info in members):
        raise zipfile.BadZipFile("bytes are missing from it")
    if count not in (MANY, len(members) % (MANY + 1)):
        raise zipfile.BadZipFile(f"its directory should list {count:,} files, but lists {len(members):,}")


def _check_readable(location: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Raise DataError for an archive without any readable member; `read_zip` sets single members aside."""
    if members and all(info.flag_bits & 1 for info in members):
        raise DataError(f"{location} is protected by a password. Unpack it and give the folder.")
    if members and all(info.compress_type not in ZIP_METHODS for info in members):
        method = OTHER_METHODS.get(members[0].compress_type, f"method {members[0].compress_type}")
        raise DataError(
            f"{location} is compressed by {method}, which is not supported. Recreate it with deflate, or unpack it and "
            "give the folder."
        )


def _check_end(archive: tarfile.TarFile) -> None:
    """Check that a tar ends with a zero block; tarfile ignores a truncated or damaged header. Raises ReadError."""
    if archive.fileobj is None:
        raise tarfile.ReadError("it is closed")
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"it is cut off or damaged at byte {archive.offset:,}")


def _link_in_archive(location: Path, name: str) -> str:
    return f"{location}: {name!r} is a link or a device, not a file. Nothing was read. Recreate it without links."


def _check_total(location: Path, total: int) -> None:
    """Raise DataError for an archive that unpacks to more than MAX_ARCHIVE_BYTES."""
    if total > MAX_ARCHIVE_BYTES:
        raise DataError(
            f"{location} unpacks to {units.size(total)}, above the limit of {units.size(MAX_ARCHIVE_BYTES)}. "
            "Is it a decompression bomb? If not, unpack it and give the folder."
        )


def read_zip(location: Path, entries: Sequence[Entry]) -> Files:
    """Yield each of the entries once, in the order of the archive."""
    by_name = {entry.name or entry.path: entry for entry in entries}
    with archive_errors(location), zipfile.ZipFile(location) as archive:
        for info in archive.infolist():
            entry = by_name.get(_zip_name(info))
            if entry is None:
                continue
            try:
                with archive.open(info) as file:
                    content = read_capped(file)
            except DAMAGE as error:
                # RuntimeError: encrypted; NotImplementedError: a compression that Python lacks.
                content = BadImageError(f"the archive is damaged here or protected ({error}); recreate it")
            yield entry, content


def read_tar(location: Path, entries: Sequence[Entry]) -> Files:
    """Yield each of the entries once, in the order of the archive."""
    by_name = {entry.name or entry.path: entry for entry in entries}
    with archive_errors(location), _open_tar(location) as archive:
        for member in archive:
            entry = by_name.get(_tar_name(member))
            file = archive.extractfile(member) if entry is not None and member.isfile() else None
            if entry is not None and file is not None:
                yield entry, read_capped(file)


@contextmanager
def archive_errors(location: Path) -> Iterator[None]:
    """Convert the libraries' exceptions to a DataError that names the archive."""
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"{location} cannot be read: {error}. If it is damaged, fetch or recreate it.") from error
