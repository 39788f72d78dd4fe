"""The outputs of `ddpm sample`: a grid, an array, a table, or a folder of images; limits of animations."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddpm.sampling.chunks import Parts

MAX_GRID = 10_000
MAX_ANIMATED = 100
TABLE = ".csv"
ANIMATIONS = (".gif", ".webp")  # as in imaging.animation, which imports Pillow
OWN_FILE = re.compile(r"seed-\d+(-.+)?\.png")
"""Names of the files in a folder of samples."""
LONGEST_LABEL = 60


@dataclass(frozen=True)
class Samples:
    """Finished images and their origin.

    seed: that of the first image; image i has seed + i. labels: class name of each image; empty without classes.
    in_turn: the class names if they are drawn in turn, else empty. origin: model and weights, for the files' text.
    columns: of series; empty for images.
    """

    parts: "Parts"
    seed: int
    labels: Sequence[str]
    in_turn: Sequence[str]
    origin: Mapping[str, str]
    columns: Sequence[str] = ()

    def text(self, index: int) -> dict[str, str]:
        """Return the text of the PNG of an image."""
        label = {"label": self.labels[index]} if self.labels else {}
        return {"seed": str(self.seed + index), **label, **self.origin}

    def file_name(self, index: int) -> str:
        """Name the PNG of an image by seed and label: `seed-000012-dog.png`."""
        digits = max(6, len(str(self.seed + self.parts.count - 1)))
        label = re.sub(r"[^\w.+-]+", "_", self.labels[index])[:LONGEST_LABEL].strip("._") if self.labels else ""
        return f"seed-{self.seed + index:0{digits}d}{f'-{label}' if label else ''}.png"


def frame_count(out: Path, count: int, frames: int | None, steps: int) -> int:
    """Return the number of frames of an animation, 0 for still images. Raises ValueError: too many."""
    if out.suffix not in ANIMATIONS:
        if frames is not None:
            raise ValueError(f"--frames needs an animation, but --out is {out}: end it with {' or '.join(ANIMATIONS)}")
        return 0
    if count > MAX_ANIMATED:
        raise ValueError(f"--count {count}: an animation has at most {MAX_ANIMATED} images")
    if frames is not None and frames > steps + 1:
        raise ValueError(f"--frames {frames}: {steps} steps have {steps + 1} frames; use more steps")
    return steps + 1 if frames is None else frames


def require_new(out: Path, *, overwrite: bool, own: Callable[[Path], bool] = lambda path: True) -> None:
    """Raise ValueError if `out` exists and may not be overwritten; an empty folder may.

    own: whether a file of an existing folder, by its path in it, is one that the command writes; a folder with any
    other file is never overwritten.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise ValueError(f"--out {out} exists; name another, or use --overwrite")
    if out.is_dir() and (foreign := [path for path in sorted(out.rglob("*")) if path.is_file() and not own(path)]):
        raise ValueError(
            f"--out {out} has files that this command does not write, such as {foreign[0].relative_to(out)}; it is not "
            "overwritten: name another folder"
        )


def writer(out: Path, count: int, *, by_class: bool, overwrite: bool) -> Callable[[Samples], None]:
    """Choose the writer for the suffix of `out`, before any work. Raises ValueError for an unusable target."""
    from ddpm.common import files

    writers: Mapping[str, Callable[[Samples], None]] = {
        ".png": lambda drawn: _grid(out, drawn),
        ".npy": lambda drawn: files.write_npy_rows(out, count, drawn.parts.read()),
        TABLE: lambda drawn: _table(out, drawn),
        **{suffix: lambda drawn: None for suffix in ANIMATIONS},  # written from all steps, not from the images
        "": lambda drawn: _folder(out, drawn, by_class=by_class),
    }
    if out.suffix not in writers and not out.is_dir():
        raise ValueError(
            f"--out {out}: end it with .png for one grid, .gif or .webp for an animation, .npy for an array, .csv for "
            "a table of series, or name a folder"
        )
    kind = "" if out.is_dir() else out.suffix
    if kind == ".png" and count > MAX_GRID:
        raise ValueError(f"--count {count}: a grid has at most {MAX_GRID} images; use a folder or a .npy file")
    if out.is_file() and kind == "":
        raise ValueError(f"{out} is a file; name a folder, a .png or a .npy file")
    if by_class and kind != "":
        raise ValueError(f"--by-class makes a folder of each class, but --out is {out}: name a folder")
    require_new(out, overwrite=overwrite, own=lambda path: OWN_FILE.fullmatch(path.name) is not None)
    return writers[kind]


def require_table(out: Path, columns: Sequence[str]) -> None:
    """Raise ValueError for a table of images. columns: of the model's series, empty for images."""
    if out.suffix == TABLE and not columns:
        raise ValueError(f"--out {out}: a table is for series, and this model generates images; use .png or .npy")


def class_folders(classes: Sequence[str]) -> None:
    """Raise ValueError for --by-class without classes, or with names that are not names of folders."""
    if not classes:
        raise ValueError("--by-class needs a model with classes, and this one was trained without labels")
    for name in classes:
        if not name or name.startswith(".") or name != Path(name).name or not name.isprintable():
            raise ValueError(f"--by-class: the class {name!r} cannot be the name of a folder; omit --by-class")


def _table(out: Path, drawn: Samples) -> None:
    """Write one line for each row of each series: its number, the row, and the values of the columns."""
    from ddpm.common import files

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["series", "row", *drawn.columns])
    every = (series for part in drawn.parts.read() for series in part)
    for number, series in enumerate(every):
        table.writerows([number, row, *(f"{value:.9g}" for value in values)] for row, values in enumerate(series))
    files.write_text(out, text.getvalue())


def _grid(out: Path, drawn: Samples) -> None:
    """Write one grid: a column for each class drawn in turn, otherwise as square as the count allows.

    Small images are enlarged by an integer factor.
    """
    import numpy as np

    from ddpm.common import files
    from ddpm.imaging import paths, pixels, sheets

    images = list(paths.as_pictures(np.concatenate(list(drawn.parts.read()))))
    columns = pixels.grid_columns(len(images), len(drawn.in_turn))
    headings = drawn.in_turn if columns == len(drawn.in_turn) else ()
    label = ", ".join(drawn.in_turn) or next(iter(drawn.labels), "")
    text = {"seed": f"{drawn.seed} to {drawn.seed + len(images) - 1}", **({"label": label} if label else {})}
    files.write_bytes(out, sheets.grid(images, columns, headings=headings, text=text | dict(drawn.origin)))


def _folder(out: Path, drawn: Samples, *, by_class: bool) -> None:
    """Write one PNG per image into a folder, or into folders of classes in it, that appears complete or not at all."""
    from ddpm.common import files
    from ddpm.imaging.paths import as_pictures
    from ddpm.imaging.pixels import to_png

    with files.fresh_folder(out) as new:
        for index, image in enumerate(image for part in drawn.parts.read() for image in as_pictures(part)):
            folder = new / drawn.labels[index] if by_class else new
            folder.mkdir(exist_ok=True)
            (folder / drawn.file_name(index)).write_bytes(to_png(image, text=drawn.text(index)))
