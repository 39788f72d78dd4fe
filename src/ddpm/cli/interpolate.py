"""`ddpm sample --from ... --to ...`: images between two images."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.cli import sample_output
from ddpm.common import terminal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddpm.model.config import ModelConfig
    from ddpm.sampling.options import Sampling

ENDINGS = (".png", ".gif", ".webp", ".npy")
OPTIONS = ("start", "end", "model", "count", "steps", "label", "guidance", "device", "out", "overwrite")
"""Parameters of `ddpm sample` that apply to interpolation."""
COUNT, STEPS = 9, 50


def interpolate(
    model: str, start: str, end: str, out: Path, *, count: int, steps: int, label: str | None, guidance: float | None,
    device: str, overwrite: bool,
) -> None:  # fmt: skip
    """Write the images between two ends, both included. Raises ValueError before weights are loaded.

    Guidance defaults to the model's own between two seeds, and to none otherwise: a picture is only reproduced without.
    """
    if out.suffix not in ENDINGS:
        raise ValueError(f"--out {out}: with --from and --to it must end with one of {', '.join(ENDINGS)}")
    sample_output.require_new(out, overwrite=overwrite)

    from ddpm import registry, tracking
    from ddpm.common.class_names import class_index
    from ddpm.model import checkpoint
    from ddpm.sampling import interpolate as interpolation

    with tracking.friendly_errors():
        folder, own = registry.download_with_settings(model)
    config = checkpoint.read_config(folder)
    config.image.require_images("interpolation")
    chosen = None if label is None else class_index(label, config.image.classes)
    first, last = _end(start, config), _end(end, config)
    sampling = _guidance(own or {}, guidance, label is not None and isinstance(first, int) and isinstance(last, int))
    interpolation.check(config, count, steps, chosen, sampling)
    loaded = checkpoint.load(folder)
    images = interpolation.between(
        loaded, first, last, count, steps=steps, label=chosen, sampling=sampling, device=device
    )
    named = {} if chosen is None else {"label": config.image.classes[chosen]}
    _write(out, images, {"from": start, "to": end, **named, "model": model, "weights": loaded.sha256})
    terminal.echo(f"sample: {count} images from {start} to {end} are in {out}")


def _guidance(own: Mapping[str, Any], chosen: float | None, own_applies: bool) -> "Sampling":
    """Return the chosen guidance, else the version's own (unless it is guided by a weaker model) if it applies."""
    from ddpm.sampling.options import GUIDED, Sampling, without_guide

    kept = {name: value for name, value in without_guide(own).items() if own_applies and name in ("guidance", *GUIDED)}
    return Sampling.overriding(kept, {} if chosen is None else {"guidance": chosen})


def _end(given: str, config: "ModelConfig") -> "NDArray[np.uint8] | int":
    """Parse a seed, or read an image (H, W, C) of the model's size. Raises ValueError for neither."""
    if given.isdecimal() and not Path(given).exists():
        return int(given)
    from ddpm.data import exact

    if not Path(given).is_file():
        raise ValueError(f"{given} is neither a picture nor a seed (an integer)")
    found = exact.read(Path(given), config.image.resolution, config.image.channels, "the size of the model's images")
    return next(iter(found.values()))


def _write(out: Path, images: "NDArray[np.uint8]", text: Mapping[str, str]) -> None:
    from ddpm.common import files
    from ddpm.imaging import animation, sheets

    if out.suffix == ".npy":
        files.write_npy(out, images)
    elif out.suffix in animation.FORMATS:
        files.write_bytes(out, animation.animate(images[None], out.suffix))
    else:
        headings = {0: "from", len(images) - 1: "to"}
        files.write_bytes(out, sheets.sheet([sheets.SheetRow(list(images))], headings=headings, text=text))
