"""Reading one file: modes, orientation, alpha, crop and size against known values."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddpm.data.errors import BadImageError
from ddpm.data.images import prepare_image

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOUR = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(content: bytes, name: str = "a.png", **changes: Any) -> np.ndarray:
    return picture(content, name, **changes).pixels


def picture(content: bytes, name: str = "a.png", **changes: Any) -> Any:
    options = {"resolution": 8, "channels": 1, "background": 0, "max_pixels": 10_000_000} | changes
    return prepare_image(content, name, **options)


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("a.png", "PNG", {}),
        ("a.PNG", "PNG", {}),
        ("a.bmp", "BMP", {}),
        ("a.tif", "TIFF", {}),
        ("a.tiff", "TIFF", {"compression": "tiff_lzw"}),
        ("a.webp", "WEBP", {"lossless": True}),
        ("a.gif", "GIF", {}),
    ],
)
def test_lossless_formats_keep_every_pixel(name: str, kind: str, options: dict[str, Any]) -> None:
    grey = picture(file(Image.fromarray(GREY), kind, **options), name)
    assert (grey.pixels[:, :, 0] == GREY).all()
    assert (grey.format, grey.size) == (kind, (8, 8))
    if kind != "GIF":
        assert (pixels(file(Image.fromarray(COLOUR), kind, **options), name, channels=3) == COLOUR).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg"])
def test_jpeg_is_read(name: str) -> None:
    found = pixels(file(Image.fromarray(GREY), "JPEG", quality=100), name)[:, :, 0]
    assert np.abs(found.astype(int) - GREY).max() <= 3


def test_mode_1_is_black_and_white() -> None:
    assert (pixels(file(Image.fromarray(GREY >= 128)))[:, :, 0] == np.where(GREY >= 128, 255, 0)).all()


def test_16_bits_become_8_by_257() -> None:
    wide = (GREY.astype(np.uint16) * 257).astype(np.uint16)
    assert (pixels(file(Image.fromarray(wide)))[:, :, 0] == GREY).all()
    assert (pixels(file(Image.fromarray(wide), "TIFF"), "a.tif")[:, :, 0] == GREY).all()
    assert (pixels(file(Image.fromarray(wide + 128)))[:, :, 0] == GREY).all()  # 128/257 rounds down


@pytest.mark.parametrize("big_endian", [False, True])
def test_16_bit_tiff_of_either_byte_order(big_endian: bool) -> None:
    mode, kind = ("I;16B", ">u2") if big_endian else ("I;16", "<u2")
    content = file(Image.frombytes(mode, (8, 8), (GREY.astype(kind) * 257).astype(kind).tobytes()), "TIFF")
    assert content[:2] == (b"MM" if big_endian else b"II")
    assert (pixels(content, "a.tif")[:, :, 0] == GREY).all()


def test_cmyk_black_white_and_red() -> None:
    inks = np.zeros((8, 8, 4), np.uint8)
    inks[0, 0] = [0, 0, 0, 255]
    inks[0, 1] = [0, 255, 255, 0]
    found = pixels(file(Image.fromarray(inks, "CMYK"), "TIFF"), "a.tif", channels=3)
    assert found[0, :3].tolist() == [[0, 0, 0], [255, 0, 0], [255, 255, 255]]


def test_palette_with_a_transparent_entry_shows_the_background() -> None:
    image = Image.fromarray((GREY > 100).astype(np.uint8), "L").convert("P")
    image.putpalette([10, 10, 10, 200, 200, 200])
    found = pixels(file(image, transparency=0), background=77)[:, :, 0]
    assert (found == np.where(GREY > 100, 200, 77)).all()


@pytest.mark.parametrize(("background", "expected"), [(0, 100), (255, 228), (200, 200)])
def test_alpha_is_laid_over_the_background(background: int, expected: int) -> None:
    values = np.full((8, 8, 4), 200, np.uint8)
    values[..., 3] = 127
    for image in (Image.fromarray(values), Image.fromarray(values[..., 2:], "LA")):
        done = picture(file(image), background=background)
        assert done.pixels[0, 0, 0] == round(200 * 127 / 255 + background * 128 / 255) == expected
        assert "alpha" in done.done


def test_the_background_does_not_bleed_through_when_shrinking() -> None:
    """Colour under full transparency is nobody's: it must not reach its neighbours."""
    values = np.zeros((16, 16, 4), np.uint8)
    values[:, ::2] = [255, 255, 255, 0]
    values[:, 1::2] = [0, 0, 0, 255]
    assert pixels(file(Image.fromarray(values)), background=0).max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    turned = {
        1: GREY,
        2: GREY[:, ::-1],
        3: GREY[::-1, ::-1],
        4: GREY[::-1],
        5: GREY.T,
        6: np.rot90(GREY, -1),
        7: GREY[::-1, ::-1].T,
        8: np.rot90(GREY),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    done = picture(file(Image.fromarray(GREY), exif=exif))
    assert (done.pixels[:, :, 0] == turned).all()
    assert ("exif" in done.done) == (orientation != 1)


def test_the_centre_is_cropped() -> None:
    wide = np.zeros((8, 20), np.uint8)
    wide[:, 6:14] = GREY
    for values in (wide, wide.T):
        done = picture(file(Image.fromarray(values)))
        assert (done.pixels[:, :, 0] == (GREY if values is wide else GREY.T)).all()
        assert done.done == ("crop",)
        assert done.size == values.shape[::-1]


def test_shrinking_is_antialiased() -> None:
    """A one-pixel checkerboard becomes grey; without antialiasing it would be black, white or a moiré."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = pixels(file(Image.fromarray(board)))
    assert np.abs(found.astype(int) - 127.5).max() <= 8


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(40, 31), (31, 40), (8, 8), (8, 9), (5, 5)])
@pytest.mark.parametrize("colour", [False, True])
def test_resizing_is_that_of_floats_to_the_bit(channels: int, shape: tuple[int, int], colour: bool) -> None:
    """The definition: crop, floats, Pillow's bicubic resize of each channel, grey or repetition, one rounding."""
    given = np.random.default_rng(5).integers(0, 256, (*shape, 3) if colour else shape, dtype=np.uint8)
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    bands = np.atleast_3d(given)[top : top + side, left : left + side].astype(np.float32)
    made = [Image.fromarray(np.ascontiguousarray(band)) for band in bands.transpose(2, 0, 1)]
    values = np.stack([np.asarray(each.resize((8, 8), Image.Resampling.BICUBIC)) for each in made], axis=2)
    if channels < values.shape[2]:
        values = (values @ np.array([0.299, 0.587, 0.114], np.float32))[:, :, None]
    expected = np.rint(np.repeat(values, channels // values.shape[2], axis=2).clip(0, 255)).astype(np.uint8)
    found = picture(file(Image.fromarray(given)), channels=channels)
    assert np.array_equal(found.pixels, expected)
    assert (found.pixels.dtype, found.pixels.flags.c_contiguous) == (np.uint8, True)
    assert found.done == (
        *(["crop"] if shape[0] != shape[1] else []),
        *(["resize"] if side != 8 else []),
        *(["grey"] if colour and channels == 1 else ["colour"] if channels == 3 and not colour else []),
    )


@pytest.mark.parametrize("side", [5, 8, 13, 64])
def test_a_flat_image_stays_flat_at_any_size(side: int) -> None:
    done = picture(file(Image.fromarray(np.full((side, side), 173, np.uint8))))
    assert (done.pixels == 173).all()
    assert ("resize" in done.done) == (side != 8)


def test_grey_from_colour_is_itu_601_and_colour_from_grey_repeats() -> None:
    expected = np.rint(COLOUR @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(pixels(file(Image.fromarray(COLOUR)))[:, :, 0] - expected).max() <= 1
    assert (pixels(file(Image.fromarray(GREY)), channels=3) == GREY[:, :, None]).all()
    same = np.repeat(GREY[:, :, None], 3, axis=2)
    assert (pixels(file(Image.fromarray(same)))[:, :, 0] == GREY).all()


def test_the_first_frame_is_taken() -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    done = picture(file(frames[0], "GIF", save_all=True, append_images=frames[1:]), "a.gif")
    assert (done.pixels[:, :, 0] == GREY).all()
    assert "first-frame" in done.done


def test_floating_point_images_are_refused_with_a_remedy() -> None:
    with pytest.raises(BadImageError, match=r"mode F .*convert it to 8 or 16 bits"):
        picture(file(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "a.tif")
