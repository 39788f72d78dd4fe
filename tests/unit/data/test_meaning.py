"""What the numbers of an image mean: white, bits, transparent colours and colour profiles, against known pixels."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from ddpm.data.errors import BadImageError
from tests.support.imagefiles import encoded, png_chunk
from tests.support.preparing import GREY, picture

COLOUR = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
WIDE = GREY.astype(np.uint16) * 257


def grey(content: bytes, name: str = "a.png", **changes: Any) -> np.ndarray:
    return picture(content, name, **changes).pixels[:, :, 0].astype(int)


def tiff(data: bytes, bits: int, photometric: int, order: str = "<", sample_format: int = 1) -> bytes:
    """An uncompressed TIFF of 8 x 8 grey pixels."""
    tags = [(256, 3, 8), (257, 3, 8), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 134),
            (277, 3, 1), (278, 3, 8), (279, 4, len(data)), (339, 3, sample_format)]  # fmt: skip
    rows = [
        struct.pack(f"{order}HHI", tag, kind, 1)
        + (struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0))
        for tag, kind, value in tags
    ]
    head = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    return head + b"".join(rows) + bytes(4) + data


def png(rows: np.ndarray, depth: int, kind: int, *chunks: bytes) -> bytes:
    """A PNG of 8 x 8 pixels whose rows of bytes are given."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, kind, 0, 0, 0))
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(chunks)
        + png_chunk(b"IDAT", zlib.compress(data))
        + png_chunk(b"IEND", b"")
    )


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Rows of values of `bits` bits each, as bytes."""
    planes = [(values >> bit) & 1 for bit in reversed(range(bits))]
    return np.packbits(np.stack(planes, axis=-1).reshape(8, -1).astype(np.uint8), axis=1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_a_tiff_in_which_zero_is_white(bits: int, order: str) -> None:
    top = 2**bits - 1
    values = np.rint(GREY / 255 * top).astype(np.uint16)
    inverted = top - values
    data = inverted.astype(f"{order}u2") if bits == 16 else packed(inverted, bits)
    found = picture(tiff(data.tobytes(), bits, 0, order), "a.tif")
    assert np.abs(found.pixels[:, :, 0] - values / top * 255).max() <= 0.5
    assert ("white-is-zero" in found.done) == (bits == 16)  # Pillow itself turns the others
    black = picture(
        tiff((values.astype(f"{order}u2") if bits == 16 else packed(values, bits)).tobytes(), bits, 1, order), "a.tif"
    )
    assert (black.pixels == found.pixels).all()
    assert "white-is-zero" not in black.done


def test_a_tiff_with_alpha_in_which_zero_is_white() -> None:
    tags = [(256, 1, 8, 0), (257, 1, 8, 0), (258, 2, 8, 8), (259, 1, 1, 0), (262, 1, 0, 0), (273, 1, 134, 0),
            (277, 1, 2, 0), (278, 1, 8, 0), (279, 1, 128, 0), (338, 1, 2, 0)]  # fmt: skip
    rows = b"".join(struct.pack("<HHIHH", tag, 3, count, *values) for tag, count, *values in tags)
    alpha = np.where(GREY > 40, 255, 0).astype(np.uint8)
    content = (
        struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + rows + bytes(4) + np.dstack([255 - GREY, alpha]).tobytes()
    )
    found = picture(content, "a.tif", background=9)
    assert (found.pixels[:, :, 0] == np.where(GREY > 40, GREY, 9)).all()
    assert found.done == ("white-is-zero", "alpha")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_noted_to_become_8(kind: str) -> None:
    assert picture(encoded(WIDE, kind), f"a.{kind.lower()}").done == ("to-8-bits",)
    if kind == "PNG":
        colours = COLOUR.astype(">u2").reshape(8, -1) * 257
        assert picture(png(colours, 16, 2), channels=3).done == ("to-8-bits",)


@pytest.mark.parametrize("photometric", [0, 1])
def test_a_tiff_of_12_bits(photometric: int) -> None:
    values = np.rint(GREY / 255 * 4095).astype(np.uint16)
    stored = 4095 - values if photometric == 0 else values
    found = picture(tiff(packed(stored, 12).tobytes(), 12, photometric), "a.tif")
    assert np.abs(found.pixels[:, :, 0] - values / 4095 * 255).max() <= 0.5
    assert "12-bits" in found.done


@pytest.mark.parametrize(
    ("bits", "photometric", "sample_format", "said"),
    [
        (32, 1, 1, "mode I .*convert it to 8 or 16 bits|32 bits, whole numbers"),
        (32, 1, 2, "mode I .*convert it to 8 or 16 bits"),
        (32, 0, 3, "mode F .*convert it to 8 or 16 bits"),
        (16, 1, 2, "mode I .*convert it to 8 or 16 bits"),
        (64, 1, 3, r"its layout \(1 x 64 bits, floating-point numbers, photometric interpretation 1\)"),
        (10, 1, 1, r"its layout \(1 x 10 bits, whole numbers, photometric interpretation 1\) .*convert it to 8 or 16"),
    ],
)
def test_other_numbers_are_refused_as_what_they_are(bits: int, photometric: int, sample_format: int, said: str) -> None:
    with pytest.raises(BadImageError, match=said):
        picture(tiff(bytes(8 * bits), bits, photometric, sample_format=sample_format), "a.tif")


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_significant_bits_of_a_png(bits: int) -> None:
    """On the left, as the standard says, they change nothing; on the right they are scaled."""
    top = 2**bits - 1
    values = np.rint(GREY / 255 * top).astype(np.uint16)
    declared = png_chunk(b"sBIT", bytes([bits]))
    right = picture(png(values.astype(">u2"), 16, 0, declared))
    assert np.abs(right.pixels[:, :, 0] - values / top * 255).max() <= 0.5
    assert f"{bits}-bits" in right.done
    for left in (values << (16 - bits), np.rint(values / top * 65535).astype(np.uint16)):
        rows = left.astype(">u2")
        found = picture(png(rows, 16, 0, declared))
        assert (found.pixels == picture(png(rows, 16, 0)).pixels).all()
        assert found.done == ("to-8-bits",)
    dark = np.rint(values / top * 3000).astype(">u2")  # scaled from fewer bits, and dark everywhere
    small = np.rint(np.arange(64).reshape(8, 8) / top * 65535).astype(">u2")
    assert (picture(png(small, 16, 0, declared)).pixels == picture(png(small, 16, 0)).pixels).all()
    assert (picture(png(dark, 16, 0)).pixels[:, :, 0] == np.rint(dark / 257)).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png_is_in_its_own_bits(depth: int) -> None:
    top = 2**depth - 1
    values = (np.arange(64).reshape(8, 8) % (top + 1)).astype(np.uint16)
    rows = values.astype(">u2") if depth == 16 else packed(values, depth)
    for key in {0, top, top // 2}:
        found = picture(png(rows, depth, 0, png_chunk(b"tRNS", struct.pack(">H", key))), background=77)
        expected = np.where(values == key, 77, np.rint(values / top * 255))
        assert np.abs(found.pixels[:, :, 0] - expected).max() <= 0.5
        assert "alpha" in found.done


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_of_a_png(depth: int) -> None:
    values = COLOUR.astype(np.uint16) * (1 if depth == 8 else 257)
    key = values[2, 3]
    rows = values.astype(">u2" if depth == 16 else np.uint8).reshape(8, -1)
    found = picture(png(rows, depth, 2, png_chunk(b"tRNS", struct.pack(">3H", *key))), background=77, channels=3)
    expected = COLOUR.copy()
    expected[2, 3] = 77
    assert (found.pixels == expected).all()


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
