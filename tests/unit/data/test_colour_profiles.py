"""Colour profiles of images, against colours known from the profile."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.imagefiles import COLOUR, WIDE, encoded, grey
from tests.support.preparing import GREY, picture


def s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def icc(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of version 2."""
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    whole = struct.pack(">I", len(tags)) + table + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(whole), b"test", 0x02400000, kind, space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + s15(0.9642) + s15(1.0) + s15(0.8249) + bytes(48)
    return head + whole


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256)) + bytes(2)


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(s15, values))


TEXT = b"desc" + bytes(4) + struct.pack(">I", 2) + b"t\0" + bytes(78)


WHITE = {b"desc": TEXT, b"wtpt": xyz(0.9642, 1.0, 0.8249)}


SRGB_PRIMARIES = {b"rXYZ": xyz(0.4361, 0.2225, 0.0139), b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
                  b"bXYZ": xyz(0.1431, 0.0606, 0.7141)}  # fmt: skip


def rgb_profile(value: float, swapped: bool = False) -> bytes:
    primaries = dict(SRGB_PRIMARIES)
    if swapped:
        primaries[b"rXYZ"], primaries[b"gXYZ"] = primaries[b"gXYZ"], primaries[b"rXYZ"]
    return icc(
        b"RGB ", b"XYZ ", b"mntr", WHITE | primaries | {name: gamma(value) for name in (b"rTRC", b"gTRC", b"bTRC")}
    )


def grey_profile(value: float) -> bytes:
    return icc(b"GRAY", b"XYZ ", b"mntr", WHITE | {b"kTRC": gamma(value)})


def cmyk_profile() -> bytes:
    """An 8-bit table of two points per ink: white paper where there is no ink, black where there is any."""
    identity = bytes(range(256))
    corners = b"".join(b"\xff\x80\x80" if corner == 0 else b"\x00\x80\x80" for corner in range(16))
    matrix = b"".join(s15(float(i == j)) for i in range(3) for j in range(3))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + corners + identity * 3
    return icc(b"CMYK", b"Lab ", b"prtr", WHITE | {b"A2B0": table, b"A2B1": table, b"A2B2": table})


def srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_colours_are_converted_by_their_profile(kind: str) -> None:
    name = {"PNG": "a.png", "JPEG": "a.jpg", "WEBP": "a.webp", "TIFF": "a.tif"}[kind]
    options: dict[str, Any] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    plain = picture(encoded(COLOUR, kind, **options), name, channels=3)
    found = picture(encoded(COLOUR, kind, icc_profile=rgb_profile(1.0), **options), name, channels=3)
    assert np.abs(found.pixels - srgb(plain.pixels / 255)).max() <= 3
    assert found.done == ("to-srgb",)
    swapped = picture(encoded(COLOUR, kind, icc_profile=rgb_profile(2.2, True), **options), name, channels=3)
    assert np.abs(swapped.pixels.astype(int) - plain.pixels[..., [1, 0, 2]]).max() <= 12


def test_an_srgb_profile_changes_no_bit() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for pixels in (COLOUR, GREY, np.dstack([COLOUR, GREY])):
        with_profile = picture(encoded(pixels, icc_profile=own), channels=3)
        without = picture(encoded(pixels), channels=3)
        assert (with_profile.pixels == without.pixels).all()
        assert with_profile.done == without.done


def test_grey_is_converted_by_its_profile() -> None:
    expected = srgb(GREY / 255)
    for made in (grey_profile(1.0), rgb_profile(1.0)):
        assert np.abs(grey(encoded(GREY, icc_profile=made)) - expected).max() <= 3
        wide = picture(encoded(WIDE, icc_profile=made))
        assert np.abs(wide.pixels[:, :, 0] - expected).max() <= 6
        assert "to-srgb" in wide.done
    alpha = np.dstack([GREY, np.full_like(GREY, 255)])
    assert np.abs(grey(encoded(alpha, icc_profile=grey_profile(1.0))) - expected).max() <= 3


def test_a_palette_keeps_its_transparency_under_a_profile() -> None:
    image = Image.fromarray((GREY > 100).astype(np.uint8)).convert("P")
    image.putpalette([10, 10, 10, 128, 128, 128])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0, icc_profile=rgb_profile(1.0))
    assert np.abs(grey(buffer.getvalue(), background=77) - np.where(GREY > 100, 188, 77)).max() <= 1


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_are_converted_by_their_profile(kind: str) -> None:
    inks = np.zeros((8, 8, 4), np.uint8)
    inks[:4, :, 1] = 255  # magenta: by this profile black
    buffer = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(
        buffer, kind, icc_profile=cmyk_profile(), **({"quality": 100} if kind == "JPEG" else {})
    )
    found = picture(buffer.getvalue(), "a.tif" if kind == "TIFF" else "a.jpg", channels=3)
    assert found.pixels[:4].max() <= 3
    assert found.pixels[4:].min() >= 252
    assert "to-srgb" in found.done


@pytest.mark.parametrize(
    "made", [b"nonsense", rgb_profile(1.0)[:200], grey_profile(1.0), cmyk_profile(), b"", b"\0" * 3_000_000]
)
def test_a_profile_that_cannot_be_used_is_noted_and_changes_nothing(made: bytes) -> None:
    for kind, name in (("PNG", "a.png"), ("JPEG", "a.jpg"), ("TIFF", "a.tif"), ("WEBP", "a.webp")):
        if len(made) > 100_000 and kind == "JPEG":
            continue  # Pillow itself writes no such JPEG
        options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
        plain = picture(encoded(COLOUR, kind, **options), name, channels=3)
        found = picture(encoded(COLOUR, kind, icc_profile=made, **options), name, channels=3)
        assert (found.pixels == plain.pixels).all()
        if made:
            assert set(found.done) & {"profile-unusable", "metadata-ignored", "all-metadata-ignored"}, (
                kind,
                found.done,
            )
