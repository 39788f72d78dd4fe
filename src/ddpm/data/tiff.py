"""Reading and editing the tags of a TIFF file's first directory, without decoding the image."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

PHOTOMETRIC, BITS, SAMPLES, FORMAT = 262, 258, 277, 339
PROFILE = 34675
ORIENTATION = 274
IMAGE = {
    256, 257, BITS, 259, PHOTOMETRIC, 266, 273, ORIENTATION, SAMPLES, 278, 279, 284, 292, 293, 317, 320,
    322, 323, 324, 325, 332, 334, 338, FORMAT, 347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532,
}  # fmt: skip
"""The tags without which an image cannot be decoded; all others describe it."""
SIZES = {1: "B", 3: "H", 4: "I"}


@dataclass(frozen=True)
class Directory:
    """The entries (tag, type, count, raw value) of the first directory at `start`."""

    order: str
    start: int
    entries: tuple[tuple[int, int, int, bytes], ...]

    def numbers(self, content: bytes, tag: int) -> tuple[int, ...]:
        """Return the integers of a tag; empty for a tag that is missing or of another type."""
        for name, kind, count, raw in self.entries:
            if name == tag and kind in SIZES and count <= 64:
                size = struct.calcsize(SIZES[kind]) * count
                (offset,) = struct.unpack(f"{self.order}I", raw)
                data = raw[:size] if size <= 4 else content[offset : offset + size]
                return struct.unpack(f"{self.order}{count}{SIZES[kind]}", data) if len(data) == size else ()
        return ()

    def written(self, content: bytes, entries: Iterable[tuple[int, int, int, bytes]]) -> bytes:
        """Replace the directory's entries by as many or fewer; further images are dropped."""
        packed = [struct.pack(f"{self.order}HHI", tag, kind, count) + raw for tag, kind, count, raw in entries]
        directory = struct.pack(f"{self.order}H", len(packed)) + b"".join(packed) + bytes(4)
        return content[: self.start] + directory + content[self.start + len(directory) :]


def directory(content: bytes) -> Directory | None:
    """Read the first directory; None for a BigTIFF or a truncated file."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None or len(content) < 8:
        return None
    (start,) = struct.unpack(f"{order}I", content[4:8])
    (count,) = struct.unpack(f"{order}H", content[start : start + 2].ljust(2, b"\0"))
    rows = [content[place : place + 12] for place in range(start + 2, start + 2 + 12 * count, 12)]
    if not rows or len(rows[-1]) < 12:
        return None
    return Directory(order, start, tuple((*struct.unpack(f"{order}HHI", row[:8]), row[8:]) for row in rows))


def image_only(content: bytes, keep: tuple[int, ...]) -> bytes:
    """Remove the tags that are not needed to decode the image, except `keep`."""
    found = directory(content)
    if found is None:
        return content
    return found.written(content, [entry for entry in found.entries if entry[0] in IMAGE or entry[0] in keep])


def black_is_zero(content: bytes) -> bytes:
    """Set the photometric interpretation to black-is-zero."""
    found = directory(content)
    if found is None:
        return content
    black = struct.pack(f"{found.order}HH", 1, 0)
    entries = [(tag, kind, count, black if tag == PHOTOMETRIC else raw) for tag, kind, count, raw in found.entries]
    return found.written(content, entries)


def described(content: bytes) -> str:
    """Describe a TIFF by its tags: `2 x 12 bits, ...`; "" if they are missing."""
    found = directory(content)
    bits = found.numbers(content, BITS) if found else ()
    if found is None or not bits:
        return ""
    kinds = {1: "whole numbers", 2: "signed numbers", 3: "floating-point numbers"}
    kind = kinds.get((found.numbers(content, FORMAT) or (1,))[0], "unknown numbers")
    photometric = (found.numbers(content, PHOTOMETRIC) or ("missing",))[0]
    return f"{len(bits)} x {bits[0]} bits, {kind}, photometric interpretation {photometric}"
