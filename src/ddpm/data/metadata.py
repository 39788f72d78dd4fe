"""Removal of metadata that prevents a decoder from reading the pixels.

Whole chunks and tags are removed; those of the pixels keep every byte, so damage to them is still detected.
"""

import struct
import zlib
from collections.abc import Iterator

from ddpm.data import tiff

PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}  # of an animation, the first frame
PNG_MEANING = {b"eXIf", b"iCCP", b"sBIT"}
JFIF, EXIF, ICC, ADOBE, COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
JFIF_LENGTH = 14
WEBP_PIXELS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}


def strip(content: bytes, *, meaning: bool) -> bytes:
    """Remove a file's metadata. meaning: keep orientation and colour profile. Other formats are unchanged."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(content, meaning)
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content, meaning)
    if content.startswith((b"GIF87a", b"GIF89a")):
        return _gif(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content, meaning)
    return tiff.image_only(content, (tiff.PROFILE,) if meaning else ())


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield name, data and all bytes of each chunk of a PNG, up to the end of the file."""
    place = 8
    while place + 8 <= len(content):
        length, name = struct.unpack(">I4s", content[place : place + 8])
        whole = content[place : place + 12 + length]
        yield name, whole[8 : 8 + length], whole
        if name == b"IEND":
            return
        place += len(whole)


def sound(name: bytes, data: bytes, whole: bytes) -> bool:
    """Return True if the checksum of a PNG chunk is correct."""
    return whole[8 + len(data) :] == struct.pack(">I", zlib.crc32(name + data))


def _png(content: bytes, meaning: bool) -> bytes:
    """Keep the chunks of the pixels and, with `meaning`, intact ones that affect their interpretation."""
    kept = [content[:8]]
    for name, data, whole in png_chunks(content):
        if name in PNG_PIXELS or (meaning and name in PNG_MEANING and sound(name, data, whole)):
            kept.append(whole)
    return b"".join(kept)


def _jpeg(content: bytes, meaning: bool) -> bytes:
    """Remove comments and APPn segments before the first scan, except JFIF, Adobe and, with `meaning`, EXIF and ICC."""
    kept, place = [content[:2]], 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        end = place + 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
        if marker == 0xDA:
            return b"".join([*kept, content[place:]])
        data = content[place + 4 : end]
        wanted = (
            (marker == JFIF and len(data) >= JFIF_LENGTH)
            or marker == ADOBE
            or (
                meaning
                and ((marker == EXIF and data[:4] == b"Exif") or (marker == ICC and data[:11] == b"ICC_PROFILE"))
            )
        )
        if wanted or not (JFIF <= marker <= 0xEF or marker == COMMENT):
            kept.append(content[place:end])
        place = end
    return content


def _webp(content: bytes, meaning: bool) -> bytes:
    """Keep the chunks of the pixels and update the header's flags for the removed ones."""
    kept, place = [], 12
    while place + 8 <= len(content):
        name, length = struct.unpack("<4sI", content[place : place + 8])
        whole = content[place : place + 8 + length + length % 2]
        if name == b"VP8X":
            flags = int.from_bytes(whole[8:9]) & (0b111010 if meaning else 0b010010)  # ICC, alpha, EXIF, animation
            whole = whole[:8] + bytes([flags]) + whole[9:]
        if len(whole) < 8 + length and name not in WEBP_PIXELS:
            break
        if name in WEBP_PIXELS or (meaning and name in (b"ICCP", b"EXIF")):
            kept.append(whole)
        place += len(whole)
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _gif(content: bytes) -> bytes:
    """Remove the extensions before the first image, except the one that declares the transparent colour."""
    flags = int.from_bytes(content[10:11])
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    kept = [content[:place]]
    while content[place : place + 1] == b"!":
        start, place = place, place + 2
        while length := int.from_bytes(content[place : place + 1]):
            place += 1 + length
        place += 1
        if content[start + 1 : start + 3] == b"\xf9\x04":
            kept.append(content[start:place])
    return b"".join([*kept, content[place:]])
