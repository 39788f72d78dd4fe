"""Metadata never decides over pixels: whatever it holds, whole pixels are taken, and damaged ones are not."""

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from ddpm.data.errors import BadImageError
from ddpm.data.images import prepare_image
from ddpm.data.pillow_limit import pixel_limit
from tests.support.imagefiles import encoded, png_chunk
from tests.support.preparing import GREY, NOISE, picture

PLAIN = encoded(GREY)
JPEG = encoded(np.repeat(GREY[:, :, None], 3, axis=2), "JPEG", quality=100)
TURNED = np.rot90(GREY, -1)
LONG = b"x" * 3_000_000


def exif(*entries: bytes, extra: bytes = b"") -> bytes:
    """EXIF that asks for a quarter turn and holds further entries."""
    rows = [struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), *entries]
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(rows) + bytes(4) + extra


EXIF = {
    "a rational of -1/0": exif(struct.pack("<HHII", 0x011A, 10, 1, 38), extra=struct.pack("<ii", -1, 0)),
    "an entry beyond the end": exif(struct.pack("<HHII", 0x010F, 2, 2000, 100_000)),
    "an unknown type": exif(struct.pack("<HHII", 0x010F, 99, 1, 1)),
    "a directory that is none": exif(struct.pack("<HHII", 0x8769, 4, 1, 0xFFFFFFF0)),
    "a directory that is itself": exif(struct.pack("<HHII", 0x8769, 4, 1, 8)),
    "a text as orientation of GPS": exif(struct.pack("<HHII", 0x8825, 2, 4, 0x41414141)),
    "a maker note of nonsense": exif(struct.pack("<HHII", 0x927C, 7, 8, 38), extra=b"\xff" * 8),
}


def in_jpeg(*segments: tuple[int, bytes]) -> bytes:
    head = b"".join(b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return JPEG[:2] + head + JPEG[2:]


def in_png(*chunks: bytes, end: bool = False) -> bytes:
    place = len(PLAIN) - 12 if end else 33
    return PLAIN[:place] + b"".join(chunks) + PLAIN[place:]


def wrong(name: bytes, data: bytes) -> bytes:
    """A chunk whose checksum is that of something else."""
    return png_chunk(name, data)[:-4] + b"\0\0\0\0"


@pytest.mark.parametrize("which", EXIF)
def test_exif_that_is_broken_elsewhere_still_turns_the_image(which: str) -> None:
    jpeg = picture(in_jpeg((0xE1, b"Exif\0\0" + EXIF[which])), "a.jpg")
    assert np.abs(jpeg.pixels[:, :, 0].astype(int) - TURNED).max() <= 3
    assert "exif" in jpeg.done
    assert (picture(in_png(png_chunk(b"eXIf", EXIF[which]))).pixels[:, :, 0] == TURNED).all()


@pytest.mark.parametrize("broken", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"nonsense" * 9, exif()[:12], b"\0" * 60_000])
def test_exif_that_is_broken_altogether_changes_nothing(broken: bytes) -> None:
    jpeg = picture(in_jpeg((0xE1, b"Exif\0\0" + broken)), "a.jpg")
    assert np.abs(jpeg.pixels[:, :, 0].astype(int) - GREY).max() <= 3
    assert (picture(in_png(png_chunk(b"eXIf", broken))).pixels[:, :, 0] == GREY).all()
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "WEBP", lossless=True, exif=broken)
    assert (picture(buffer.getvalue(), "a.webp").pixels[:, :, 0] == GREY).all()


PNGS = [
    in_png(png_chunk(b"tEXt", b"Comment\0" + LONG)),
    in_png(*[png_chunk(b"tEXt", b"Comment%d\0" % number + LONG[:900_000]) for number in range(80)]),
    in_png(png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LONG))),
    in_png(png_chunk(b"zTXt", b"Comment\0\0nonsense")),
    in_png(png_chunk(b"zTXt", b"Comment\0\7nonsense")),
    in_png(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG))),
    in_png(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff\xfe<x:xmpmeta")),
    in_png(png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  12\nzz")),
    in_png(wrong(b"tEXt", b"Comment\0hello")),
    in_png(wrong(b"tIME", bytes(7))),
    in_png(wrong(b"iCCP", b"x\0\0" + zlib.compress(b"nonsense"))),
    in_png(wrong(b"tEXt", b"Comment\0hello"), end=True),
    in_png(png_chunk(b"iCCP", b"x\0\7nonsense")),
    in_png(png_chunk(b"iCCP", b"x")),
    in_png(png_chunk(b"pHYs", b"\0")),
    in_png(png_chunk(b"gAMA", b"\0")),
    in_png(png_chunk(b"cHRM", b"\0")),
    in_png(png_chunk(b"sBIT", b"")),
    in_png(png_chunk(b"acTL", b"\0")),
    in_png(png_chunk(b"sRGB", b"")),
    in_png(png_chunk(b"prVt", LONG)),
]


@pytest.mark.parametrize("index", range(len(PNGS)))
def test_a_png_is_taken_whatever_its_other_chunks_hold(index: int) -> None:
    assert (picture(PNGS[index]).pixels[:, :, 0] == GREY).all()


@pytest.mark.parametrize(
    "segments",
    [
        [(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe<x")],
        [(0xE2, b"ICC_PROFILE\0\1")],
        [(0xE2, b"ICC_PROFILE\0\2\2half of it")],
        [(0xE2, b"ICC_PROFILE\0\1\1" + b"\0" * 60_000)],
        [(0xE2, b"MPF\0II*\0\xff\xff\xff\xff")],
        [(0xE2, b"MPF\0nonsense")],
        [(0xED, b"Photoshop 3.0\0008BIM\4\4")],
        [(0xED, b"Photoshop 3.0\0008BIM\3\xed\0\0\0\0\0\1x")],
        [(0xE0, b"JFIF")],
        [(0xFE, LONG[:60_000])] * 40,
        [(0xFE, b"\xff\xd8\xff\xd9")],
    ],
)
def test_a_jpeg_is_taken_whatever_its_other_segments_hold(segments: list[tuple[int, bytes]]) -> None:
    found = picture(in_jpeg(*segments), "a.jpg")
    assert np.abs(found.pixels[:, :, 0].astype(int) - GREY).max() <= 3


@pytest.mark.parametrize(("tag", "kind", "count", "value"), [
    (282, 5, 1, 4_000_000), (305, 2, 5000, 0xFFFF), (306, 99, 1, 0), (34665, 4, 1, 0xFFFFFFF0), (34853, 2, 1, 0),
    (700, 1, 4_000_000, 8), (34675, 7, 4_000, 0xFFFFFF), (33723, 4, 9, 0), (34377, 1, 100, 8), (297, 3, 7, 0),
])  # fmt: skip
def test_a_tiff_is_taken_whatever_its_other_tags_hold(tag: int, kind: int, count: int, value: int) -> None:
    content = bytearray(encoded(GREY, "TIFF"))
    (start,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[start : start + 2])
    rows = [bytes(content[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(entries)]
    rows = sorted([*rows, struct.pack("<HHII", tag, kind, count, value)], key=lambda row: struct.unpack("<H", row[:2]))
    moved = len(content)
    directory = struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4)
    broken = bytes(content[:4]) + struct.pack("<I", moved) + bytes(content[8:]) + directory
    assert (picture(broken, "a.tif").pixels[:, :, 0] == GREY).all()


def test_a_gif_and_a_webp_with_odd_metadata_are_taken() -> None:
    gif = encoded(GREY, "GIF")
    place = gif.index(b"\x2c\0\0\0\0")
    netscape = b"\x21\xff\x0bNETSCAPE2.0"
    for extension in (b"\x21\xfe\0", b"\x21\xfe\x01x\0" * 50, b"\x21\xff\0", netscape + b"\0", b"\x21\x77\3abc\0",
                      netscape + b"\x01\x01\0", b"\x21\xf9\0", b"\x21\x01\0"):  # fmt: skip
        assert (picture(gif[:place] + extension + gif[place:], "a.gif").pixels[:, :, 0] == GREY).all(), extension
    webp = encoded(GREY, "WEBP", lossless=True, exif=b"x" * 200)
    for broken in (webp[:-50], webp + b"EXIF\xff\xff\0\0abc"):
        found = picture(broken, "a.webp")
        assert (found.pixels[:, :, 0] == GREY).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_pixels_stay_damaged_whatever_the_metadata(kind: str) -> None:
    ending = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp"}[kind]
    content = encoded(NOISE, kind)
    for part in (0.3, 0.6, 0.9):
        with pytest.raises(BadImageError, match=r"fetch it again|convert it"):
            prepare_image(content[: int(len(content) * part)], f"a{ending}", resolution=8, channels=1, background=0,
                          max_pixels=10_000)  # fmt: skip


def large(side: int) -> bytes:
    """A PNG of one bit for each of side x side pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + b"\xaa" * -(-side // 8)) * side)
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "GIF", "BMP", "JPEG"])
def test_a_raised_limit_is_ours_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would warn from 20 pixels on and refuse from 40 on; the image has 64."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    ending = {"PNG": "png", "TIFF": "tif", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "JPEG": "jpg"}[kind]
    content = encoded(GREY, kind, **({"lossless": True} if kind == "WEBP" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(picture(content, f"a.{ending}", max_pixels=64).pixels[:, :, 0].astype(int) - GREY).max() <= 3
    with pytest.raises(BadImageError, match=r"prepare\.max_pixels = 63"):
        picture(content, f"a.{ending}", max_pixels=63)
    assert Image.MAX_IMAGE_PIXELS == 20


def test_limits_of_nested_calls_and_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pixel_limit(10):
        assert Image.MAX_IMAGE_PIXELS == 20
        with pixel_limit(500), pixel_limit(100):
            assert Image.MAX_IMAGE_PIXELS == 500
        assert Image.MAX_IMAGE_PIXELS == 20
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                picture(PLAIN, max_pixels=64)
        except BaseException as error:  # noqa: BLE001  # shown by the test
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert Image.MAX_IMAGE_PIXELS == 20
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pixel_limit(100):
        assert Image.MAX_IMAGE_PIXELS is None


def test_a_large_scan_is_taken_where_the_limit_is_raised() -> None:
    content = large(13_440)
    with pytest.raises(BadImageError, match=r"more than prepare\.max_pixels = 50000000"):
        picture(content, max_pixels=50_000_000)
    assert picture(content, max_pixels=400_000_000).size == (13_440, 13_440)
