"""`ddpm score`: scores of two sets of images from any source."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options, score_sets
from ddpm.common import terminal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddpm.evaluation.reference_file import ReferenceFile
    from ddpm.metrics.extractors import Extractor
    from ddpm.metrics.record import Reference

app = typer.Typer()

FEATURES = "out/features"
KINDS = (
    f"efficientnet-lite0, classifier (of {FEATURES}), classifier:FOLDER, inception, inception:FILE, dinov2, dinov2:FILE"
)


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
    from ddpm.metrics.inception_score import require_equal_parts
    from ddpm.runtime.device import evaluation_device

    saved = _statistics(real, heldout, fake, save_reference)
    given = {"real": None if saved else real, "fake": fake, "heldout": heldout}
    paths = {name: path for name, path in given.items() if path is not None}
    resize = resize or (saved and saved.origin.resize.replace("none", "")) or None
    sets = {name: score_sets.open_set(name, path, as_json) for name, path in paths.items()}
    sizes = score_sets.sizes(sets, resize)
    selected = score_sets.select(sets, count, unequal, seed)
    if "fake" in selected:
        require_equal_parts(len(selected["fake"]), splits)
    network, classes = _extractor(extractor, resize, evaluation_device(device))
    if saved:
        saved.require(network)
    features = {name: score_sets.features(name, sets[name], selected[name], network, as_json) for name in sets}
    drawn = "all" if count is None else f"by seed {seed}"
    if save_reference:
        split = f"all of {real}" if count is None else f"{count} of {real}, {drawn}"
        _save(save_reference, features["real"], network, split)
    if fake:
        result = _result(features, network, classes, saved, seed=seed, splits=splits)
        named = {name: str(path) for name, path in ({"real": real} | paths).items()}
        result["conditions"] |= {**named, "sizes": sizes, "drawn": drawn}
        _print(result, as_json=as_json)


def _statistics(real: Path, heldout: Path | None, fake: Path | None, save: Path | None) -> "ReferenceFile | None":
    """Read the statistics if --real is a file of statistics. Raises ValueError for options that exclude each other."""
    from ddpm.evaluation import reference_file

    if save:
        reference_file.require_suffix(save)
    elif not fake:
        raise ValueError("--fake is missing: name the images to score. Only --save-reference FILE can do without it")
    if not reference_file.is_reference(real):
        return None
    if heldout or save:
        raise ValueError(f"--heldout and --save-reference need the real images, but --real {real} has only statistics")
    return reference_file.read(real)


def _save(path: Path, features: "NDArray[np.float32]", extractor: "Extractor", split: str) -> None:
    """Write the statistics of real features (N, D)."""
    from ddpm.evaluation import reference_file
    from ddpm.metrics import frechet

    reference_file.write(path, frechet.moments(features), extractor, split)
    terminal.echo(
        f"{path}: statistics of {len(features):,} real images ({extractor.name}), for `ddpm score --real {path}`",
        file=sys.stderr,
    )


def _result(
    features: "dict[str, NDArray[np.float32]]",
    extractor: "Extractor",
    classes: tuple[str, ...],
    saved: "ReferenceFile | None",
    *,
    seed: int,
    splits: int,
) -> dict[str, Any]:
    """Compute the scores against real images, or only against their statistics, with their conditions."""
    from ddpm.metrics import record
    from ddpm.metrics.scoring import Features

    fake = Features(features["fake"])
    if saved is None:
        reference = _reference(features, extractor, classes, seed)
        return record.score_features(fake, None, extractor, reference, splits=splits)
    result = record.score_against(fake, saved.moments, extractor, sha256=saved.sha256, splits=splits)
    result["conditions"]["split"] = saved.origin.split or "not recorded"
    if not saved.origin.extractor_sha256:
        result["conditions"]["note"] = f"the file does not name its extractor, assumed to be {extractor.name}"
    return result


def _extractor(option: str, resize: str | None, device: str) -> "tuple[Extractor, tuple[str, ...]]":
    """Load the extractor that --extractor names, with its class names. Raises ValueError, FileNotFoundError."""
    from ddpm.common import files
    from ddpm.evaluation import extractor_store, reference
    from ddpm.metrics import dinov2, inception

    kind, _, path = option.partition(":")
    match kind:
        case "efficientnet-lite0" if not path:
            return extractor_store.open_efficientnet(resize or "clean", device), ()
        case "classifier":
            folder = Path(path or FEATURES)
            if not (folder / reference.SUMMARY).is_file():
                raise FileNotFoundError(
                    f"{folder} has no extractor. In a project, run `dvc repro features`; elsewhere, "
                    "name one: --extractor classifier:FOLDER (a project's out/features), or omit --extractor"
                )
            found = extractor_store.from_folder(folder, device, resize or "none")
            if found.name != "classifier":
                raise ValueError(f"{folder} holds {found.name}, not a classifier; use --extractor {found.name}")
            return found, tuple(files.read_json(folder / reference.SUMMARY)["classes"])
        case "inception" | "dinov2":
            file = path or f"weights/{inception.FILE if kind == 'inception' else dinov2.FILE}"
            return extractor_store.open_published(kind, file, resize or "clean", device), ()
        case _:
            raise ValueError(f"--extractor {option} is unknown; possible: {KINDS}")


def _reference(
    features: "dict[str, NDArray[np.float32]]", extractor: "Extractor", classes: tuple[str, ...], seed: int
) -> "Reference":
    """Build the reference; without held-out images, the floors and ratios that need them are omitted."""
    from ddpm.common import files
    from ddpm.metrics import frechet
    from ddpm.metrics.floors import floors
    from ddpm.metrics.record import Reference
    from ddpm.metrics.scoring import Features

    real, more = features["real"], features.get("heldout")
    found = None
    if len(real) // 2 >= frechet.SMALLEST_SET:
        found = floors(Features(real), None if more is None else Features(more), None, seed=seed, extractor=extractor)
    heldout = real[:0] if more is None else more
    sha256 = files.sha256_json([files.sha256_bytes(part.tobytes()) for part in (real, heldout)] + [list(classes)])
    scores, counts = (found.scores, found.counts) if found else ({}, {})
    return Reference(frechet.moments(real), real, heldout, scores, classes, sha256, floor_counts=counts)


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    """Print one JSON object, or a line per score and then per condition."""
    from ddpm.evaluation.score_record import fid_name

    if as_json:
        terminal.echo_json(result)
        return
    conditions, floors = result.pop("conditions"), result.pop("floors", {})
    nested = {name: value for name, value in result.items() if isinstance(value, dict)}
    lines = [(name, value, floors.get(name, {})) for name, value in result.items() if isinstance(value, int | float)]
    for name, values in nested.items():
        lines += [(f"{name} {key}", each, {}) for key, each in values.items() if isinstance(each, int | float)]
    named = fid_name(conditions)
    lines = [(re.sub("^fid", named, name), *rest) for name, *rest in lines]
    width = max(len(name) for name, *_ in lines)
    for name, value, real in lines:
        others = ", ".join(f"{which} {number:.4g}" for which, number in real.items() if which != "copy")
        shown = f"{name.replace('_', ' '):<{width}}  {value:<10.6g}  {f'(real images: {others})' if others else ''}"
        terminal.echo(shown.rstrip())
    if not conditions["full_rank"]:
        terminal.echo("note: there are not more images than features, so the Fréchet distance is far too high")
    for name, value in conditions.items():
        terminal.echo(f"  {name.replace('_', ' ')}: {value}")
