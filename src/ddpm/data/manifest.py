"""The manifest of a prepared set: a small head, which later stages read, and files that grow with the set.

`manifest.json`: shape, count, classes, warnings and rejected files. `images.jsonl`: line i describes row i of
`images.npy`. `duplicates.json`: groups of exact duplicates and pairs of near ones, by path. Version 1 had all of it in
`manifest.json`, with the images under `images`; it can still be read.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common.files import new_file, read_json, write_json
from ddpm.data.duplicates import NearPairs

HEAD, LINES, DUPLICATES = "manifest.json", "images.jsonl", "duplicates.json"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A prepared file: digests (SHA-256, hex), format, mode and (width, height) of the file.

    done: conversions, such as `crop`.
    """

    path: str
    sha256: str
    pixels_sha256: str
    format: str
    mode: str
    size: tuple[int, int]
    done: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Rejected:
    """A file that is not a usable image, with the reason and the remedy."""

    path: str
    reason: str


@dataclass(frozen=True)
class Contents:
    """The images of a set in the order of their paths, all but their pixels.

    labels: int64 (N,), class index, or -1; heldout: bool (N,). exact: groups of equal images, as indices.
    """

    records: Sequence[ImageRecord]
    labels: NDArray[np.int64]
    heldout: NDArray[np.bool_]
    classes: tuple[str, ...]
    exact: Sequence[Sequence[int]]
    near: NearPairs
    warnings: Sequence[str]
    rejected: Sequence[Rejected]

    def write(self, folder: Path, resolution: int, channels: int) -> None:
        """Write the three files into `folder`."""
        path = [record.path for record in self.records]
        duplicates = {
            "exact": [[path[index] for index in group] for group in self.exact],
            "near": [[path[first], path[second]] for first, second in self.near.pairs],
        }
        head = {
            "version": 2,
            "resolution": resolution,
            "channels": channels,
            "count": len(self.records),
            "classes": list(self.classes),
            "warnings": list(self.warnings),
            "set_aside": [asdict(each) for each in self.rejected],
        }
        with new_file(folder / LINES) as file:
            for entry in self._entries():
                file.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        write_json(folder / DUPLICATES, duplicates)
        write_json(folder / HEAD, head)

    def _entries(self) -> Iterator[dict[str, Any]]:
        for record, label, held in zip(self.records, self.labels.tolist(), self.heldout.tolist(), strict=True):
            yield {
                "path": record.path,
                "sha256": record.sha256,
                "pixels_sha256": record.pixels_sha256,
                "format": record.format,
                "mode": record.mode,
                "size": record.size,
                "label": label,
                "heldout": held,
                "done": record.done,
            }


def read_head(folder: Path) -> dict[str, Any]:
    """Read `manifest.json`, of version 1 with the number of its images as `count`, as in version 2."""
    head: dict[str, Any] = read_json(folder / HEAD)
    return head if "count" in head else head | {"count": len(head["images"])}


def read_images(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entry of each image in the order of the array, line by line."""
    head = read_json(folder / HEAD)
    if head.get("version", 1) == 1:
        yield from head["images"]
        return
    with (folder / LINES).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def read_duplicates(folder: Path) -> dict[str, list[list[str]]]:
    """Read the groups of `exact` duplicates and pairs of `near` ones, as paths."""
    head = read_json(folder / HEAD)
    found: dict[str, list[list[str]]]
    found = head["duplicates"] if head.get("version", 1) == 1 else read_json(folder / DUPLICATES)
    return found
