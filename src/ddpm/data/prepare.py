"""Preparation of image files: each is decoded once, checked, and written into one array.

The result depends only on paths inside the source, file contents and arguments, not on the source's location or kind
(folder or archive), file order or file times.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common.class_names import in_order
from ddpm.common.files import fresh_folder, new_npy, sha256_bytes, write_json, write_npy
from ddpm.data import duplicates, plausible, profile, statistics
from ddpm.data.contact import contact_sheet
from ddpm.data.errors import BadImageError, DataError, listing
from ddpm.data.images import prepare_image
from ddpm.data.prepared import identity
from ddpm.data.sources import Source
from ddpm.data.split import is_held_out

SMALLEST_SET = 50
"""Evaluation refuses to score fewer images; it needs that many held out, and in each half of the training split."""
SCRATCH = "scratch.npy"
"""Rows in reading order, before bad ones are known and the others sorted."""


@dataclass(frozen=True)
class GoodImage:
    """A good image: its row in the scratch array and its manifest entry."""

    row: int
    path: str
    sha256: str
    pixels_sha256: str
    format: str
    mode: str
    size: tuple[int, int]
    done: tuple[str, ...]


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
    advance: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Prepare the images of `source` into the folder `target`; return their statistics.

    `labels`: "folders" or "none". `min_train`: minimum of training images, such as a batch. `advance(1)` is called
    after each file. Raises DataError, leaving `target` unchanged.
    """
    with fresh_folder(target) as folder:
        raw = new_npy(folder / SCRATCH, np.uint8, (len(source.entries), resolution, resolution, channels))
        options = {"resolution": resolution, "channels": channels, "background": background, "max_pixels": max_pixels}
        taken, bad = _decode(source, raw, options, advance)
        _check_bad(source, bad, max_bad_fraction)
        digests, done = [image.pixels_sha256 for image in taken], [image.done for image in taken]
        plausible.check_different(digests, done, background)
        classes, numbers = _labels(source, [image.path for image in taken], labels)
        images = _in_order(raw, [image.row for image in taken], folder / "images.npy")
        pairs = duplicates.near(images, near_duplicate, digests)
        keys = duplicates.groups(digests, pairs.pairs)
        heldout = np.array([is_held_out(key, holdout) for key in keys])
        remarks = plausible.copies(digests, done, background), _near_copies(keys, digests)
        copies = ". ".join(filter(None, remarks))
        _check_counts(numbers, classes, heldout, holdout, min_train, copies)
        (folder / SCRATCH).unlink()
        write_npy(folder / "labels.npy", numbers)
        write_npy(folder / "heldout.npy", heldout)
        contact_sheet(images, numbers, classes, digests).save(folder / "contact.png")
        about = _about(taken, numbers, heldout)
        manifest = {
            "version": 1,
            "resolution": resolution,
            "channels": channels,
            "classes": list(classes),
            "warnings": plausible.warnings(images, about, background),
            "images": about,
            "set_aside": [{"path": path, "reason": reason} for path, reason in bad],
            "duplicates": _named_duplicates(taken, pairs.pairs),
        }
        found = statistics.collect(images, manifest, pairs.complete) | {"sha256": identity(images, numbers, heldout)}
        write_json(folder / "manifest.json", manifest)
        write_json(folder / "statistics.json", found)
        profile.collect(images, manifest, found["sha256"]).write(folder)
    return found


def _decode(
    source: Source, raw: NDArray[np.uint8], options: dict[str, int], advance: Callable[[int], None] | None
) -> tuple[list[GoodImage], list[tuple[str, str]]]:
    """Decode every file once; return the good images, sorted by path, and (path, reason) of the others."""
    taken, bad = [], []
    for row, (entry, content) in enumerate(source.read()):
        try:
            if isinstance(content, BadImageError):
                raise content
            picture = prepare_image(content, entry.path, **options)
        except BadImageError as error:
            bad.append((entry.path, str(error)))
        else:
            raw[row] = picture.pixels
            digests = sha256_bytes(content), sha256_bytes(picture.pixels.tobytes())
            taken.append(GoodImage(row, entry.path, *digests, picture.format, picture.mode, picture.size, picture.done))
        if advance is not None:
            advance(1)
    return sorted(taken, key=lambda image: image.path), sorted(bad)


def _check_bad(source: Source, bad: Sequence[tuple[str, str]], most: float) -> None:
    """Raise DataError if the share of bad files exceeds `most`, or all are bad."""
    total = len(source.entries)
    if len(bad) > most * total or len(bad) == total:
        named = listing([f"{path}: {reason}" for path, reason in bad])
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
    members: dict[str, set[str]] = {}
    for key, digest in zip(keys, digests, strict=True):
        members.setdefault(key, set()).add(digest)
    largest = max(map(len, members.values()))
    if largest < max(2, len(keys) / 10):
        return ""
    return (
        f"{largest:,} of them are connected as near duplicates and stay on one side of the split: a smaller "
        "prepare.near_duplicate connects fewer images, and 0 none"
    )


def _in_order(raw: NDArray[np.uint8], rows: Sequence[int], path: Path) -> NDArray[np.uint8]:
    """Write the good rows of the scratch array, sorted by path, as the final array."""
    images = new_npy(path, np.uint8, (len(rows), *raw.shape[1:]))
    for position, row in enumerate(rows):
        images[position] = raw[row]
    images.flush()
    return images


def _about(taken: Sequence[GoodImage], labels: NDArray[np.int64], heldout: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Build the manifest entry of each image."""
    return [
        {
            "path": image.path,
            "sha256": image.sha256,
            "pixels_sha256": image.pixels_sha256,
            "format": image.format,
            "mode": image.mode,
            "size": list(image.size),
            "label": int(label),
            "heldout": bool(held),
            "done": list(image.done),
        }
        for image, label, held in zip(taken, labels, heldout, strict=True)
    ]


def _named_duplicates(taken: Sequence[GoodImage], near: Sequence[tuple[int, int]]) -> dict[str, list[list[str]]]:
    """Convert groups of exact and pairs of near duplicates to paths."""
    exact = duplicates.exact([image.pixels_sha256 for image in taken])
    return {
        "exact": [[taken[index].path for index in group] for group in exact],
        "near": [[taken[first].path, taken[second].path] for first, second in near],
    }
