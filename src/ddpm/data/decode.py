"""Decoding of every file of a source into the rows of one array file, by several processes.

This process reads the files and hands them out in batches; the workers decode and write the pixels. Each image goes to
the row of its file in reading order, so the result does not depend on the number of workers.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ddpm.common.files import sha256_bytes
from ddpm.data.entries import Entry
from ddpm.data.errors import BadImageError
from ddpm.data.images import prepare_image
from ddpm.data.manifest import ImageRecord, Rejected
from ddpm.data.sources import Source
from ddpm.runtime import workers

BATCH_FILES, BATCH_BYTES = 64, 2 * 2**20
"""Limits of a batch, whichever is reached first."""
SECONDS_PER_FILE, SECONDS_PER_BYTE = 2e-4, 1e-7
"""Rough cost of decoding on one core, to decide how many workers are worth their start."""
SECONDS_PER_WORKER = 2.5

Batch = list[tuple[int, str, bytes | BadImageError]]
"""Row, path and content of files."""


@dataclass(frozen=True)
class Decoder:
    """Decodes batches into the rows of a .npy file of uint8, whose first row begins at byte `offset`."""

    array: Path
    offset: int
    resolution: int
    channels: int
    background: int
    max_pixels: int

    def __call__(self, batch: Batch) -> list[ImageRecord | Rejected]:
        """Write the pixels of good files; return the record of each file, or why it was rejected."""
        with self.array.open("r+b") as file:
            return [self._decode(file.fileno(), row, path, content) for row, path, content in batch]

    def _decode(self, file: int, row: int, path: str, content: bytes | BadImageError) -> ImageRecord | Rejected:
        try:
            if isinstance(content, BadImageError):
                raise content
            picture = prepare_image(
                content,
                path,
                resolution=self.resolution,
                channels=self.channels,
                background=self.background,
                max_pixels=self.max_pixels,
            )
        except BadImageError as error:
            return Rejected(path, str(error))
        pixels = picture.pixels.tobytes()
        os.pwrite(file, pixels, self.offset + row * len(pixels))
        digests = sha256_bytes(content), sha256_bytes(pixels)
        return ImageRecord(path, *digests, picture.format, picture.mode, picture.size, picture.done)


@dataclass(frozen=True)
class Decoded:
    """Records of good images, sorted by path, their rows in the array file, and the rejected files, sorted."""

    rows: list[int]
    records: list[ImageRecord]
    rejected: list[Rejected]


def decode(source: Source, decoder: Decoder, count: int, advance: Callable[[int], None] | None = None) -> Decoded:
    """Decode every file once, by `count` processes. `advance(n)` is called after each n files."""
    rows: list[int] = []
    records: list[ImageRecord] = []
    rejected: list[Rejected] = []
    total = 0
    for results in workers.map_in_order(decoder, batches(source), count):
        for row, result in enumerate(results, total):
            if isinstance(result, Rejected):
                rejected.append(result)
            else:
                rows.append(row)
                records.append(result)
        total += len(results)
        if advance is not None:
            advance(len(results))
    order = sorted(range(len(records)), key=lambda index: records[index].path)
    return Decoded([rows[index] for index in order], [records[index] for index in order], sorted(rejected))


def worthwhile_workers(entries: Sequence[Entry]) -> int:
    """Number of processes for these files: one per core at most, and one for a set that is decoded in seconds."""
    seconds = len(entries) * SECONDS_PER_FILE + sum(entry.size for entry in entries) * SECONDS_PER_BYTE
    return max(1, min(workers.available_cores(), int(seconds / SECONDS_PER_WORKER)))


def batches(source: Source) -> Iterator[Batch]:
    """Read the files in the order of the source."""
    batch: Batch = []
    size = 0
    for row, (entry, content) in enumerate(source.read()):
        batch.append((row, entry.path, content))
        size += len(content) if isinstance(content, bytes) else 0
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
