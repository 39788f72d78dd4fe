"""Sample interpretation of images: white, bits and transparent colours, against known pixels."""

import struct
import zlib

import numpy as np
import pytest

from ddpm.data.errors import BadImageError
from tests.support.imagefiles import COLOUR, WIDE, encoded, png_chunk
from tests.support.preparing import GREY, picture


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
    """Left-aligned bits, as in the standard, change nothing; right-aligned ones are scaled."""
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
