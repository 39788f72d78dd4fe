"""Files that are no good image: what stops the preparation and what is set aside."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ddpm.data.errors import DataError
from tests.support.imagefiles import encoded
from tests.support.preparing import NOISE, described, run, written

Files = dict[str, bytes]
Write = Callable[[Files], Path]


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 black pixels in 200 KB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    side = 30_000
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def half(kind: str) -> bytes:
    content = encoded(NOISE, kind)
    return content[: len(content) // 2]


def damaged_png() -> bytes:
    content = bytearray(encoded(NOISE))
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


def floating() -> bytes:
    return encoded(NOISE[:, :, 0].astype(np.float32), "TIFF")


BAD: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
    "zero bytes": ("a/x.png", lambda: b"", "empty", "fetch it again"),
    "text": ("a/x.png", lambda: b"hello, world", "not PNG", "fetch it again"),
    "web page": ("a/x.jpg", lambda: b"<html>not found</html>", "not JPEG", "fetch it again"),
    "truncated PNG": ("a/x.png", lambda: half("PNG"), "truncated or damaged", "fetch it again"),
    "truncated JPEG": ("a/x.jpg", lambda: half("JPEG"), "truncated or damaged", "fetch it again"),
    "truncated WebP": ("a/x.webp", lambda: half("WEBP"), "truncated or damaged", "fetch it again"),
    "truncated BMP": ("a/x.bmp", lambda: half("BMP"), "truncated or damaged", "fetch it again"),
    "truncated TIFF": ("a/x.tif", lambda: half("TIFF"), "damaged|no TIFF image", "fetch it again"),
    "truncated GIF": ("a/x.gif", lambda: half("GIF"), "truncated or damaged", "fetch it again"),
    "one bit wrong": ("a/x.png", damaged_png, "truncated or damaged", "fetch it again"),
    "header alone": ("a/x.png", lambda: encoded(NOISE)[:33], "not PNG", "fetch it again"),
    "bomb beyond any limit": ("a/x.png", bomb, "prepare.max_pixels = 10000", "shrink it"),
    "more pixels than allowed": ("a/x.png", lambda: encoded(np.zeros((101, 100), np.uint8)), "101 pixels", "shrink it"),
    "JPEG called PNG": ("a/x.png", lambda: encoded(NOISE, "JPEG"), "its content is JPEG", "rename it to .jpeg"),
    "PNG called TIFF": ("a/x.tif", lambda: encoded(NOISE), "its content is PNG", "rename it to .png"),
    "a known kind that is not allowed": ("a/x.png", lambda: encoded(NOISE, "PPM"), "not PNG", "remove it"),
    "unknown ending": ("a/x.psd", lambda: encoded(NOISE), "ending .psd is unknown", "convert it"),
    "no ending": ("a/x", lambda: encoded(NOISE), "ending (none) is unknown", "convert it"),
    "floating point": ("a/x.tif", floating, "mode F", "convert it to 8 or 16 bits"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_stop_or_are_set_aside(case: str, good: Files, folder: Write, tmp_path: Path) -> None:
    name, content, reason, remedy = BAD[case]
    location = folder(good | {name: content()})
    target = tmp_path / "out" / "prepare"
    target.mkdir(parents=True)
    (target / "old").write_text("as it was")
    with pytest.raises(DataError) as error:
        run(location, target)
    told = str(error.value)
    assert name in told
    assert any(one in told for one in reason.split("|")), told
    assert remedy in told
    assert "max_bad_fraction" in told
    assert [path.name for path in target.parent.iterdir()] == ["prepare"]
    assert written(target) == {"old": b"as it was"}

    found = run(location, target, max_bad_fraction=0.01)
    manifest = described(target)
    assert [one["path"] for one in manifest["set_aside"]] == [name]
    assert remedy in manifest["set_aside"][0]["reason"]
    assert (found["count"], found["set_aside"]) == (240, 1)


def test_every_pixel_cap_holds_for_every_format(good: Files, folder: Write, tmp_path: Path) -> None:
    endings = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "gif": "GIF"}
    location = folder(good | {f"a/x.{ending}": encoded(NOISE, kind) for ending, kind in endings.items()})
    with pytest.raises(DataError, match="6 of 246 files"):
        run(location, tmp_path / "out", max_pixels=64 * 64 - 1)
    assert run(location, tmp_path / "out", max_pixels=64 * 64)["count"] == 246


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_file_without_permission(good: Files, folder: Write, tmp_path: Path) -> None:
    location = folder(good)
    (location / "a" / "000.png").chmod(0)
    with pytest.raises(DataError, match=r"a/000\.png: it cannot be read"):
        run(location, tmp_path / "out")


def test_a_file_that_is_no_regular_file(good: Files, folder: Write, tmp_path: Path) -> None:
    location = folder(good)
    os.mkfifo(location / "a" / "pipe.png")
    with pytest.raises(DataError, match=r"a/pipe\.png: it is not a regular file"):
        run(location, tmp_path / "out")
