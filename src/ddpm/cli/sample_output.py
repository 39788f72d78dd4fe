"""The outputs of `ddpm sample`: a grid, an array, a table, or a folder of images; limits of animations."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddpm.sampling.chunks import Parts

MAX_GRID = 10_000
MAX_ANIMATED = 100
TABLE = ".csv"
ANIMATIONS = (".gif", ".webp")  # as in imaging.animation, which imports Pillow


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


def writer(out: Path, count: int) -> Callable[["Parts", Sequence[str]], None]:
    """Choose the writer for the suffix of `out`, before any work: a function of the parts and the columns of series.

    Raises ValueError for an unusable target.
    """
    from ddpm.common import files

    writers: Mapping[str, Callable[[Parts, Sequence[str]], None]] = {
        ".png": lambda drawn, columns: _grid(out, drawn),
        ".npy": lambda drawn, columns: files.write_npy_rows(out, count, drawn.read()),
        TABLE: lambda drawn, columns: _table(out, drawn, columns),
        # written from all steps, not from the images
        **{suffix: lambda drawn, columns: None for suffix in ANIMATIONS},
        "": lambda drawn, columns: _folder(out, drawn),
    }
    if out.suffix not in writers and not out.is_dir():
        raise ValueError(
            f"--out {out}: end it with .png for one grid, .gif or .webp for an animation, .npy for an array, .csv for "
            "a table of series, or name a folder"
        )
    if out.suffix == ".png" and count > MAX_GRID:
        raise ValueError(f"--count {count}: a grid has at most {MAX_GRID} images; use a folder or a .npy file")
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f"the folder {out} is not empty; name a new one")
    if out.exists() and not out.is_dir() and out.suffix == "":
        raise ValueError(f"{out} is a file; name a folder, a .png or a .npy file")
    return writers["" if out.is_dir() else out.suffix]


def require_table(out: Path, columns: Sequence[str]) -> None:
    """Raise ValueError for a table of images. columns: of the model's series, empty for images."""
    if out.suffix == TABLE and not columns:
        raise ValueError(f"--out {out}: a table is for series, and this model generates images; use .png or .npy")


def _table(out: Path, drawn: "Parts", columns: Sequence[str]) -> None:
    """Write one line for each row of each series: its number, the row, and the values of the columns."""
    from ddpm.common import files

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["series", "row", *columns])
    every = (series for part in drawn.read() for series in part)
    for number, series in enumerate(every):
        table.writerows([number, row, *(f"{value:.9g}" for value in values)] for row, values in enumerate(series))
    files.write_text(out, text.getvalue())


def _grid(out: Path, drawn: "Parts") -> None:
    """Write one grid, as square as the count allows; small images are enlarged by an integer factor."""
    import numpy as np

    from ddpm.common import files
    from ddpm.imaging import paths, pixels, sheets

    images = list(paths.as_pictures(np.concatenate(list(drawn.read()))))
    files.write_bytes(out, sheets.grid(images, pixels.square_columns(len(images))))


def _folder(out: Path, drawn: "Parts") -> None:
    """Write one PNG per image, named by index, into a folder that appears complete or not at all."""
    from ddpm.common import files
    from ddpm.imaging.paths import as_pictures
    from ddpm.imaging.pixels import to_pil

    digits = max(6, len(str(drawn.count - 1)))
    with files.fresh_folder(out) as new:
        for index, image in enumerate(image for part in drawn.read() for image in as_pictures(part)):
            to_pil(image).save(new / f"{index:0{digits}d}.png")
