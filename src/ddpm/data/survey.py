"""Survey of a source: each file decoded without resizing, before parameters are chosen."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from ddpm.common.class_names import in_order
from ddpm.data.decode import Batch, batches, worthwhile_workers
from ddpm.data.errors import BadImageError, named
from ddpm.data.images import FLAT, open_image, square_of_floats
from ddpm.data.manifest import Rejected
from ddpm.data.sources import Source
from ddpm.runtime.workers import map_in_order

FEW = 5  # images of a class
OPAQUE = 255


@dataclass(frozen=True)
class Survey:
    """Result of a survey. classes: empty without class folders; outside: number of images outside them.

    transparent: number of images with transparent pixels, `invisible` of which show nothing on the grey value
    `background` behind these pixels.
    """

    count: int
    bad: tuple[tuple[str, str], ...]
    classes: dict[str, int]
    outside: int
    sizes: dict[tuple[int, int], int]
    modes: dict[str, int]
    formats: dict[str, int]
    colour: bool
    notes: tuple[str, ...] = ()
    transparent: int = 0
    invisible: int = 0
    background: int = 0

    @property
    def shorter_side(self) -> int:
        """The median of the images' shorter sides, in pixels."""
        sides = sorted((min(size), count) for size, count in self.sizes.items())
        return int(np.repeat([side for side, _ in sides], [count for _, count in sides])[(self.count - 1) // 2])


@dataclass(frozen=True)
class Surveyed:
    """A usable file: its path, size (width, height), mode and format; as in `Survey`, transparent and invisible."""

    path: str
    size: tuple[int, int]
    mode: str
    format: str
    transparent: bool
    invisible: bool


def survey(
    source: Source,
    *,
    max_pixels: int,
    background: int = 0,
    workers: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> Survey:
    """Decode every file of a source, by `workers` processes (None: as many as the files are worth).

    background: grey value behind transparent pixels. Bad files are listed with their reasons, sorted. `advance(n)` is
    called after each n files.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    paths, bad, colour = [], [], False
    transparent = invisible = 0
    count = workers or worthwhile_workers(source.entries)
    for results, has_colour in map_in_order(partial(_look, max_pixels, background), batches(source), count):
        colour = colour or has_colour
        for each in results:
            if isinstance(each, Rejected):
                bad.append((each.path, each.reason))
                continue
            paths.append(each.path)
            sizes[each.size] += 1
            modes[each.mode] += 1
            formats[each.format] += 1
            transparent += each.transparent
            invisible += each.invisible
        if advance is not None:
            advance(len(results))
    classes = Counter(source.class_names(sorted(paths)))
    outside = classes.pop(None, 0)
    named = {name: classes[name] for name in in_order(name for name in classes if name is not None)}
    counts = _ranked(sizes), _ranked(modes), _ranked(formats)
    return Survey(
        len(paths), tuple(sorted(bad)), named, outside, *counts, colour, tuple(source.notes()), transparent, invisible,
        background,
    )  # fmt: skip


def _look(max_pixels: int, background: int, batch: Batch) -> tuple[list[Surveyed | Rejected], bool]:
    """Decode a batch of files without resizing; return a result for each, and whether one of them has colour."""
    found: list[Surveyed | Rejected] = []
    colour = False
    for _, path, content in batch:
        try:
            if isinstance(content, BadImageError):
                raise content
            opened = open_image(content, path, max_pixels=max_pixels)
            values = square_of_floats(opened.image, None, background, [])
            colour = colour or _has_colour(values)
            least, most = opacity(opened.image)
            transparent = least < OPAQUE
            hidden = transparent and most - least > FLAT and float(np.ptp(values)) < FLAT
        except BadImageError as error:
            found.append(Rejected(path, str(error)))
        else:
            found.append(Surveyed(path, opened.image.size, opened.mode, opened.format, transparent, hidden))
    return found, colour


def opacity(image: Image.Image) -> tuple[int, int]:
    """Return the lowest and the highest opacity of the pixels, from 0 to OPAQUE."""
    if not image.has_transparency_data:
        return OPAQUE, OPAQUE
    least, most = image.convert("RGBA").getchannel("A").getextrema()
    return int(least), int(most)  # type: ignore[arg-type]  # of one channel, numbers


def _has_colour(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    """Return True if the channels differ by more than JPEG artefacts of a grey image."""
    return values.shape[2] == 3 and float(np.ptp(values, axis=2).max()) > 8


def _ranked(counts: Counter[Any]) -> dict[Any, int]:
    """Sort by count, the most common first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))))


def lines(found: Survey) -> list[str]:
    """Format the survey as lines."""
    if found.classes:
        shown = [f"{name} {count:,}" for name, count in list(found.classes.items())[:12]]
        more = f" and {len(found.classes) - 12} more" if len(found.classes) > 12 else ""
        classes = f"{len(found.classes)} ({', '.join(shown)}{more})"
    else:
        classes = "none (there are no class folders)"
    few = [f"{name} ({count})" for name, count in found.classes.items() if count < FEW]
    return [
        f"images: {found.count:,}" + (f", and {len(found.bad):,} unusable files" if found.bad else ""),
        f"classes: {classes}" + (f"; {found.outside:,} images outside" if found.classes and found.outside else ""),
        f"sizes: {counted((f'{size[0]}x{size[1]}', count) for size, count in found.sizes.items())}",
        f"modes: {counted(found.modes.items())}; {'colour' if found.colour else 'grey only'}",
        f"formats: {counted(found.formats.items())}",
        *([_transparency(found)] if found.transparent else []),
        *(f"note: {note}" for note in found.notes),
        *([f"note: classes so small that all images may be held out, which fails: {named(few)}"] if few else []),
    ]


def _transparency(found: Survey) -> str:
    """Explain what becomes of transparent pixels."""
    grey = {0: "black", 255: "white"}.get(found.background, "grey")
    hidden = f"; {found.invisible:,} of these images then show nothing" if found.invisible else ""
    return (
        f"transparency: in {found.transparent:,} images, laid over {grey} (prepare.background = {found.background})"
        f"{hidden}"
    )


def counted(counts: Iterable[tuple[str, int]], limit: int = 4) -> str:
    """Format counts as `28x28 (5,000), 32x32 (4) and 3 others`."""
    shown = [f"{name} ({count:,})" for name, count in counts]
    more = f" and {len(shown) - limit} others" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
