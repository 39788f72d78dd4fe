"""Image files and archives, made in memory."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.preparing import GREY, picture


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


COLOUR = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


WIDE = GREY.astype(np.uint16) * 257


def grey(content: bytes, name: str = "a.png", **changes: Any) -> np.ndarray:
    return picture(content, name, **changes).pixels[:, :, 0].astype(int)


def pattern() -> np.ndarray:
    """A colour image (224, 224, 3) of waves, a ramp and a chessboard."""
    y, x = np.mgrid[0:224, 0:224]
    planes = (127 + 127 * np.sin(x / 9 + y / 23), x * 255 / 223, ((x // 28 + y // 28) % 2) * 200 + 20)
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
