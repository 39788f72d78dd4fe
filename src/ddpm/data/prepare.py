"""Preparation of image files: each is decoded once, checked, and written into one array.

The result depends only on paths inside the source, file contents and arguments, not on the source's location or kind
(folder or archive), file order or file times.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common.class_names import in_order
from ddpm.common.files import fresh_folder, new_npy, write_json, write_npy, write_npy_rows
from ddpm.data import decode, duplicates, plausible, profile, statistics
from ddpm.data.blocks import BLOCK
from ddpm.data.contact import contact_sheet
from ddpm.data.errors import DataError, listing
from ddpm.data.manifest import Contents, Rejected
from ddpm.data.prepared import identity
from ddpm.data.sources import Source
from ddpm.data.split import is_held_out

SMALLEST_SET = 50
"""Evaluation refuses to score fewer images; it needs that many held out, and in each half of the training split."""
SCRATCH, IMAGES = "scratch.npy", "images.npy"
"""Scratch: rows in reading order, before bad ones are known and the others sorted."""


def prepare(
    source: Source,
    target: Path,
    *,
    resolution: int,
    channels: int,
    labels: str,
    background: int,
    holdout: float,
    max_pixels: int,
    max_bad_fraction: float,
    near_duplicate: float,
    min_train: int = 1,
    workers: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Prepare the images of `source` into the folder `target`; return their statistics.

    `labels`: "folders" or "none". `min_train`: minimum of training images, such as a batch. `workers`: number of
    processes that decode; None: as many as the files are worth. `advance(n)` is called after each n files. Raises
    DataError, leaving `target` unchanged.
    """
    with fresh_folder(target) as folder:
        raw = new_npy(folder / SCRATCH, np.uint8, (len(source.entries), resolution, resolution, channels))
        decoder = decode.Decoder(folder / SCRATCH, raw.offset, resolution, channels, background, max_pixels)
        found = decode.decode(source, decoder, workers or decode.worthwhile_workers(source.entries), advance)
        _check_bad(source, found.rejected, max_bad_fraction)
        records = found.records
        digests, done = [record.pixels_sha256 for record in records], [record.done for record in records]
        plausible.check_different(digests, done, background)
        classes, numbers = _labels(source, [record.path for record in records], labels)
        images = _in_order(folder, found.rows, len(source.entries))
        near = duplicates.near(images, near_duplicate, digests)
        keys = duplicates.groups(digests, near.pairs)
        heldout = np.array([is_held_out(key, holdout) for key in keys])
        remarks = plausible.copies(digests, done, background), _near_copies(keys, digests)
        copies = ". ".join(filter(None, remarks))
        _check_counts(numbers, classes, heldout, holdout, min_train, copies)
        write_npy(folder / "labels.npy", numbers)
        write_npy(folder / "heldout.npy", heldout)
        contact_sheet(images, numbers, classes, digests).save(folder / "contact.png")
        warnings = plausible.warnings(images, done, background)
        exact = duplicates.exact(digests)
        contents = Contents(records, numbers, heldout, classes, exact, near, warnings, found.rejected)
        contents.write(folder, resolution, channels)
        sha256 = identity(images, numbers, heldout)
        summary = statistics.collect(images, contents) | {"sha256": sha256}
        write_json(folder / "statistics.json", summary)
        profile.collect(images, contents, sha256).write(folder)
    return summary


def _check_bad(source: Source, bad: Sequence[Rejected], most: float) -> None:
    """Raise DataError if the share of bad files exceeds `most`, or all are bad."""
    total = len(source.entries)
    if len(bad) > most * total or len(bad) == total:
        named = listing([f"{each.path}: {each.reason}" for each in bad])
        raise DataError(
            f"{len(bad):,} of {total:,} files in {source.location} are not usable images, above "
            f"prepare.max_bad_fraction = {most}. Repair or remove them:\n{named}"
        )


def _labels(source: Source, paths: list[str], labels: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the sorted class names and the label of each path; no names and -1 for an unlabelled set."""
    if labels == "none":
        return (), np.full(len(paths), -1, np.int64)
    found = source.class_names(paths)
    outside = [path for path, name in zip(paths, found, strict=True) if name is None]
    if len(outside) == len(paths):
        raise DataError(
            f"The images are not in class folders (the first is {paths[0]}), but prepare.labels = folders. "
            "Put each class into its own folder, or set prepare.labels: none."
        )
    if outside:
        raise DataError(
            f"{len(outside):,} images are outside the class folders:\n{listing(outside, 5)}\n"
            "Put them into a class folder, or set prepare.labels: none."
        )
    names = in_order(name for name in found if name is not None)
    index = {name: number for number, name in enumerate(names)}
    return names, np.array([index[str(name)] for name in found], np.int64)


def _check_counts(
    labels: NDArray[np.int64],
    classes: Sequence[str],
    heldout: NDArray[np.bool_],
    share: float,
    min_train: int,
    copies: str,
) -> None:
    """Raise DataError if training or evaluation would have too few images. copies: a remark about equal images."""
    train, held = int((~heldout).sum()), int(heldout.sum())
    split = f"{len(labels):,} images leave {train:,} for training and {held:,} held out (prepare.holdout = {share})"
    split += f". {copies}" if copies else ""
    if train < min_train:
        raise DataError(f"{split}; a batch is {min_train} (train.batch). Add images or make the batch smaller.")
    if train < 2 * SMALLEST_SET or held < SMALLEST_SET:
        raise DataError(
            f"{split}; evaluation needs {2 * SMALLEST_SET} and {SMALLEST_SET}. Add images or change prepare.holdout."
        )
    present = set(labels[~heldout].tolist())
    missing = [name for number, name in enumerate(classes) if number not in present]
    if missing:
        raise DataError(
            f"No training images remain of: {', '.join(missing)}. "
            + (f"{copies}. " if copies else "")
            + "Add images of these classes or remove them."
        )


def _near_copies(keys: Sequence[str], digests: Sequence[str]) -> str:
    """A remark about the largest group of near duplicates, if it is a tenth of the set or more; else empty."""
    group = dict(zip(digests, keys, strict=True))  # equal images have equal keys
    largest = max(Counter(group.values()).values())
    if largest < max(2, len(keys) / 10):
        return ""
    return (
        f"{largest:,} of them are connected as near duplicates and stay on one side of the split: a smaller "
        "prepare.near_duplicate connects fewer images, and 0 none"
    )


def _in_order(folder: Path, rows: Sequence[int], total: int) -> NDArray[np.uint8]:
    """Make the good rows of the scratch array, sorted by path, the final array; return it as a read-only memory map."""
    scratch, path = folder / SCRATCH, folder / IMAGES
    if len(rows) == total and all(row == index for index, row in enumerate(rows)):
        with scratch.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(scratch, path)
    else:
        raw = np.load(scratch, mmap_mode="r", allow_pickle=False)
        starts = range(0, len(rows), BLOCK)
        write_npy_rows(path, len(rows), (raw[rows[start : start + BLOCK]] for start in starts))
        scratch.unlink()
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return images
