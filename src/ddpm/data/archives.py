"""Images in zip and tar archives, read without ever unpacking them to disk.

No absolute names, no `..`, no links or devices (CVE-2025-4517 is one of many reasons), sizes capped.
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

from ddpm.data.entries import Entry, Listing, inner_path, read_capped, wanted
from ddpm.data.errors import BadImageError, DataError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_ARCHIVE_BYTES = 256 * 2**30
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError,
    ValueError, OverflowError, IndexError, RuntimeError,
)  # fmt: skip
"""What the libraries raise at a broken archive (NotImplementedError is a RuntimeError)."""

ZIP_START, ZIP_END = (b"PK\3\4", b"PK\5\6", b"PK\7\x08"), b"PK\5\6"
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
UNREAD = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar", b"\x28\xb5\x2f\xfd": "zstd", b"MSCF": "cab"}
"""Archives that are recognised only to say what they are."""
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
OTHER_METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 93: "zstd", 95: "xz", 98: "PPMd"}
MANY = 0xFFFF  # in a zip's last record: the number stands elsewhere

Files = Iterator[tuple[Entry, bytes | BadImageError]]


def kind_of(location: Path) -> str | None:
    """`zip`, `tar`, or None for any other file; decided by content, since DVC names it `data`.

    Formats are asked by how the file begins. zipfile alone would also take a tar whose last file is a zip.
    """
    with explained(location):
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
                    f"{location} is compressed by {name} and holds no tar archive that can be read. Is it whole? "
                    "If it is one compressed file, unpack it."
                )
        return "zip" if zipfile.is_zipfile(location) else None


def list_zip(location: Path) -> Listing:
    """All files of a zip archive. Raises DataError."""
    listing = Listing()
    table: zipfile.ZipInfo | None = None
    with explained(location), zipfile.ZipFile(location) as archive:
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
    """All files of a tar archive, compressed or not. Raises DataError."""
    listing = Listing()
    total = 0
    with explained(location), _open_tar(location) as archive:
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
    """The name in UTF-8 where it is that, otherwise in Latin-1."""
    try:
        member.name.encode()
    except UnicodeEncodeError:
        return member.name.encode(errors="surrogateescape").decode("latin-1")
    return member.name


def _is_special(info: zipfile.ZipInfo) -> bool:
    """Whether a member is a link, device, pipe or socket."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind == stat.S_IFLNK or (info.create_system == 3 and kind not in (0, stat.S_IFREG, stat.S_IFDIR))


def _check_directory(location: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """The directory at the end of a zip must belong to this file and be whole; the library does not ask. DataError."""
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
        raise zipfile.BadZipFile(f"its directory is to list {count:,} files and lists {len(members):,}")


def _check_readable(location: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an archive of which nothing can be read; single members are set aside by `read_zip`."""
    if members and all(info.flag_bits & 1 for info in members):
        raise DataError(f"{location} is protected by a password. Unpack it and give the folder.")
    if members and all(info.compress_type not in ZIP_METHODS for info in members):
        method = OTHER_METHODS.get(members[0].compress_type, f"method {members[0].compress_type}")
        raise DataError(
            f"{location} is compressed by {method}, which cannot be read. Make it again with deflate, or unpack it and "
            "give the folder."
        )


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
    known = {entry.name or entry.path: entry for entry in entries}
    with explained(location), zipfile.ZipFile(location) as archive:
        for info in archive.infolist():
            entry = known.get(_zip_name(info))
            if entry is None:
                continue
            try:
                with archive.open(info) as file:
                    content = read_capped(file)
            except DAMAGE as error:
                # RuntimeError: encrypted; NotImplementedError: a compression that Python lacks.
                content = BadImageError(f"the archive is damaged here or protected ({error}); make it again")
            yield entry, content


def read_tar(location: Path, entries: Sequence[Entry]) -> Files:
    """Each of the entries once, in the order of the archive."""
    known = {entry.name or entry.path: entry for entry in entries}
    with explained(location), _open_tar(location) as archive:
        for member in archive:
            entry = known.get(_tar_name(member))
            file = archive.extractfile(member) if entry is not None and member.isfile() else None
            if entry is not None and file is not None:
                yield entry, read_capped(file)


@contextmanager
def explained(location: Path) -> Iterator[None]:
    """Say which archive is damaged; the libraries do not."""
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"{location} cannot be read: {error}. Is the archive whole? Fetch or make it again.") from error
