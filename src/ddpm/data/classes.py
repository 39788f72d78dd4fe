"""Classes of images, by folder or by dataset.json.

Splits (`train`, `test`), shards (`part-1`) and numbered chunks of one set (`00000`, `00001` of StyleGAN) are not
classes; the folders inside them are, if there are any. Notes report these decisions and doubtful folders.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ddpm.data.errors import named
from ddpm.data.labels import Table

SPLIT = re.compile(r"train(ing)?|trn|test(ing)?|tst|val(id(ation|ate)?)?|dev|eval(uation)?|holdout", re.I)
BESIDE_SPLITS = re.compile(r"extra|unlabell?ed|pred(iction)?s?|seg|set|split|data(set)?|ima?ge?s?|pictures|rev|x", re.I)
"""Words that accompany a split's name (`seg_train`, `test-set`), or name a further part of a set (`extra`)."""
SHARD = re.compile(
    r"(part|shard|chunk|batch|block|fold|split|subset|volume|vol|disk|disc|archive|section|piece|page|dir|folder)"
    r"[-_ .]?\d+([-_ ]?of[-_ ]?\d+)?",
    re.I,
)
CAMERA = re.compile(r"[1-9]\d\d([A-Z_]{5}|APPLE|_PANA|___\d\d|D\d{4})")
"""Folders of a camera's card (DCF): `100CANON`, `101MSDCF`."""
DOUBTFUL = re.compile(
    r"masks|labels?|annotations?|segmentations?|thumb(nail)?s?|previews?|cache|backups?|te?mp|originals?"
    r"|(19|20)\d\d([-_.]\d\d){0,2}|\d{4,}",
    re.I,
)
"""Folders of tools, dates, and numbers other than chunk numbers."""

Parts = list[tuple[str, ...]]


@dataclass(frozen=True)
class Classes:
    """The class of each image, None without one, and notes about them."""

    names: tuple[str | None, ...]
    notes: tuple[str, ...]


def of_table(paths: Sequence[str], table: Table) -> Classes:
    """Take the classes from dataset.json."""
    names = tuple(table.get(path) for path in paths)
    missing = names.count(None)
    if not table:
        return Classes(
            names, ("dataset.json says that the images have no labels; the folders are not used as classes",)
        )
    if missing == len(names):
        return Classes(names, ("the labels in dataset.json are vectors, or of other images, and are not used",))
    notes = ["the classes are the labels in dataset.json, not the folders"]
    if missing:
        notes.append(f"dataset.json has no class for {missing:,} images ({named(_without(paths, names))})")
    return Classes(names, tuple(notes))


def of_folders(paths: Sequence[str]) -> Classes:
    """Take each path's first folder as its class, below a common folder and folders that are parts of one set."""
    parts: Parts = [PurePosixPath(path).parts for path in paths]
    notes = []
    while True:
        while parts and all(len(path) > 1 for path in parts) and len({path[0] for path in parts}) == 1:
            parts = [path[1:] for path in parts]
        folders = _first_folders(parts)
        kind = _parts_of_one_set(folders, parts)
        if kind is None:
            break
        notes.append(
            f"the folders {named(folders)} look like {kind} and are not used as classes (if they are, rename them)"
        )
        parts = [path[1:] if len(path) > 1 else path for path in parts]
    names = tuple(path[0] if len(path) > 1 else None for path in parts)
    if notes:
        inside = sorted({name for name in names if name is not None})
        text = f"the classes are the folders in them ({named(inside)})" if inside else "their images have no class"
        notes.append(f"{text}; images are held out by content (prepare.holdout), regardless of their folder")
    return Classes(names, (*notes, *_doubts(folders, names)))


def _first_folders(parts: Parts) -> list[str]:
    return sorted({path[0] for path in parts if len(path) > 1})


def _parts_of_one_set(folders: list[str], parts: Parts) -> str | None:
    """Name the kind of folders that are not classes, for a message; None if they are classes."""
    if len(folders) < 2:
        return None
    if all(_is_split(name, beside=True) for name in folders) and any(_is_split(name) for name in folders):
        return "splits of one set"
    if all(CAMERA.fullmatch(name) for name in folders):
        return "folders of a camera"
    if all(SHARD.fullmatch(name) for name in folders) and _share_folders(parts):
        return "shards of one set"
    return "numbered chunks of one set" if _are_chunks(folders, parts) else None


def _share_folders(parts: Parts) -> bool:
    """Return True if at least two folder names occur in more than one folder."""
    inside: dict[str, set[str]] = {}
    for path in parts:
        if len(path) > 2:
            inside.setdefault(path[0], set()).add(path[1])
    counts = Counter(name for names in inside.values() for name in names)
    return sum(count > 1 for count in counts.values()) > 1


def _is_split(name: str, beside: bool = False) -> bool:
    """Return True for the name of a split, or with `beside` of a further part of a set (`extra`)."""
    words = [word for word in re.split(r"[^A-Za-z]+", re.sub("(?i)hold[-_ ]out", "holdout", name)) if word]
    return (
        bool(words)
        and (beside or any(SPLIT.fullmatch(word) for word in words))
        and all(SPLIT.fullmatch(word) or BESIDE_SPLITS.fullmatch(word) for word in words)
    )


def _are_chunks(folders: list[str], parts: Parts) -> bool:
    """Return True if the folders' numbers (four or more digits) follow from their files': 00012/img00012345.png."""
    if not all(re.fullmatch(r"\d{4,}", name) for name in folders) or len({len(name) for name in folders}) > 1:
        return False
    numbers = []
    for path in parts:
        found = re.findall(r"\d+", PurePosixPath(path[-1]).stem)
        if len(path) < 2 or not found:
            return False
        numbers.append((int(path[0]), int(found[-1][-15:])))
    later = [(folder, number) for folder, number in numbers if folder]
    size = min(number // folder for folder, number in later) if later else 0
    sizes = {size, 10 ** len(folders[0])} | {10**power for power in range(2, 7)}
    rules: tuple[Callable[[int, int], int], ...] = (
        lambda number, size: number // size,  # StyleGAN, webdataset
        lambda number, size: number // size * size,  # FFHQ
        lambda number, size: number % size,  # Danbooru
    )
    return any(
        all(folder == rule(number, size) for folder, number in numbers) for rule in rules for size in sizes if size > 1
    )


def _doubts(folders: list[str], names: Sequence[str | None]) -> list[str]:
    """Warn of folders that were taken as classes but do not look like classes."""
    if len(folders) < 2 or not any(names):
        return []
    splits = [name for name in folders if _is_split(name) or re.fullmatch(r"(train|test|val)[A-Z]", name)]
    odd = [name for name in folders if DOUBTFUL.fullmatch(name) or SHARD.fullmatch(name) or CAMERA.fullmatch(name)]
    doubtful = sorted({*odd, *(splits if len(splits) > 1 else [])})
    if not doubtful:
        return []
    return [
        f"{named(doubtful)} {'is' if len(doubtful) == 1 else 'are'} taken as class{'es' * (len(doubtful) > 1)}. "
        "If that is wrong, put the images of each class into one folder, and remove folders that are not classes"
    ]


def _without(paths: Sequence[str], names: Sequence[str | None]) -> list[str]:
    return [path for path, name in zip(paths, names, strict=True) if name is None]
