"""`ddpm score`: scores of two sets of images from any source."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options
from ddpm.common import terminal
from ddpm.common.units import score_number
from ddpm.evaluation import score_text
from ddpm.evaluation.extractor_names import KINDS, parsed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddpm.metrics.extractors import Extractor

app = typer.Typer()


@app.command()
def score(
    real: Annotated[
        Path,
        typer.Option(
            help="A folder or archive of images, a .npy of uint8 (N, H, W, C), or statistics: .npz or .safetensors."
        ),
    ],
    fake: Annotated[
        Path | None,
        typer.Option(help="The images to score, likewise; optional with --save-reference.", show_default=False),
    ] = None,
    extractor: Annotated[str, typer.Option(help=KINDS)] = "efficientnet-lite0",
    count: Annotated[
        int | None,
        typer.Option(help="Images of each set, selected by --seed; by default all.", min=1, show_default=False),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(help="Resizing if sizes differ: clean (as clean-fid) or legacy.", show_default=False),
    ] = None,
    unequal: Annotated[bool, typer.Option("--unequal", help="Accept sets of unequal size.")] = False,
    heldout: Annotated[
        Path | None, typer.Option(help="More real images, for floors and the memorisation ratio.")
    ] = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(help="Write statistics of the real images: .npz or .safetensors.", show_default=False),
    ] = None,
    splits: Annotated[int, typer.Option(help="Number of splits of the Inception Score.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the selection by --count and of the halves.", min=0)] = 0,
    device: options.DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score generated images against real ones.

    Prints FID, KID, precision, recall and other scores, with the conditions they were measured under.
    """
    parsed(extractor)
    from ddpm.evaluation import reference_file, score_images
    from ddpm.runtime.device import evaluation_device

    if save_reference:
        reference_file.require_suffix(save_reference)
        reference_file.require_images(real)
    elif not fake:
        raise ValueError("--fake is missing: name the images to score. Only --save-reference FILE can do without it")
    measured = score_images.measure(
        real, fake, heldout, extractor=extractor, count=count, resize=resize, unequal=unequal, splits=splits, seed=seed,
        device=evaluation_device(device), quiet=as_json,
    )  # fmt: skip
    if save_reference:
        split = f"all of {real}" if count is None else f"{count} of {real}, {measured.drawn}"
        _save(save_reference, measured.features["real"], measured.extractor, split)
    if fake:
        _print(measured.scores(splits), as_json=as_json)


def _save(path: Path, features: "NDArray[np.float32]", extractor: "Extractor", split: str) -> None:
    """Write the statistics of real features (N, D)."""
    from ddpm.evaluation import reference_file
    from ddpm.metrics import frechet

    reference_file.write(path, frechet.moments(features), extractor, split)
    terminal.echo(
        f"{path}: statistics of {len(features):,} real images ({extractor.name}), for `ddpm score --real {path}`",
        file=sys.stderr,
    )


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    """Print one JSON object, or a line per score and then per condition."""
    if as_json:
        terminal.echo_json(result)
        return
    conditions, floors = result.pop("conditions"), result.pop("floors", {})
    nested = {name: value for name, value in result.items() if isinstance(value, dict)}
    lines = [(name, value, floors.get(name, {})) for name, value in result.items() if isinstance(value, int | float)]
    for name, values in nested.items():
        lines += [(f"{name} {key}", each, {}) for key, each in values.items() if isinstance(each, int | float)]
    names = {name: _name(name, conditions) for name, *_ in lines}
    width = max(map(len, names.values()))
    for name, value, real in lines:
        share = name in score_text.SHARES
        others = ", ".join(
            f"{which.replace('_', ' ')} {score_number(number, share=share)}"
            for which, number in real.items()
            if which != "copy"
        )
        shown = f"{names[name]:<{width}}  {score_number(value, share=share):<8}"
        terminal.echo(f"{shown}  {f'(real images: {others})' if others else ''}".rstrip())
    if not conditions["full_rank"]:
        terminal.echo("note: there are not more images than features, so the Fréchet distance is far too high")
    for name, value in conditions.items():
        terminal.echo(f"  {name.replace('_', ' ')}: {value}")


def _name(key: str, conditions: Mapping[str, Any]) -> str:
    """Name a score by its key; FID with its conditions."""
    from ddpm.evaluation.score_record import fid_name

    if key == "fid" or key.startswith("fid_"):
        return f"{fid_name(conditions)}{key.removeprefix('fid').replace('_', ' ')}"
    return score_text.NAMES.get(key, key.replace("_", " "))
