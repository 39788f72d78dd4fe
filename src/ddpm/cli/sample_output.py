"""The outputs of `ddpm sample`: a grid, an array, or a folder of images; limits of animations."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddpm.sampling.chunks import Parts

MAX_GRID = 10_000
MAX_ANIMATED = 100
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


def writer(out: Path, count: int) -> Callable[["Parts"], None]:
    """Choose the writer for the suffix of `out`, before any work. Raises ValueError for an unusable target."""
    from ddpm.common import files

    writers: Mapping[str, Callable[[Parts], None]] = {
        ".png": lambda drawn: _grid(out, drawn),
        ".npy": lambda drawn: files.write_npy_rows(out, count, drawn.read()),
        **{suffix: lambda drawn: None for suffix in ANIMATIONS},  # written from all steps, not from the images
        "": lambda drawn: _folder(out, drawn),
    }
    if out.suffix not in writers and not out.is_dir():
        raise ValueError(
            f"--out {out}: end it with .png for one grid, .gif or .webp for an animation, .npy for an array, or name a "
            "folder"
        )
    if out.suffix == ".png" and count > MAX_GRID:
        raise ValueError(f"--count {count}: a grid has at most {MAX_GRID} images; use a folder or a .npy file")
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f"the folder {out} is not empty; name a new one")
    if out.exists() and not out.is_dir() and out.suffix == "":
        raise ValueError(f"{out} is a file; name a folder, a .png or a .npy file")
    return writers["" if out.is_dir() else out.suffix]


def _grid(out: Path, drawn: "Parts") -> None:
    """Write one grid, as square as the count allows; small images are enlarged by an integer factor."""
    from ddpm.common import files
    from ddpm.imaging import pixels, sheets

    images = [image for part in drawn.read() for image in part]
    files.write_bytes(out, sheets.grid(images, pixels.square_columns(len(images))))


def _folder(out: Path, drawn: "Parts") -> None:
    """Write one PNG per image, named by index, into a folder that appears complete or not at all."""
    from ddpm.common import files
    from ddpm.imaging.pixels import to_pil

    digits = max(6, len(str(drawn.count - 1)))
    with files.fresh_folder(out) as new:
        for index, image in enumerate(image for part in drawn.read() for image in part):
            to_pil(image).save(new / f"{index:0{digits}d}.png")
