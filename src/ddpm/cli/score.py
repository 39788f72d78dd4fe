"""`ddpm score`: scores of any two sets of images, from any program."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options
from ddpm.common import terminal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddpm.data.sets import ImageSet
    from ddpm.metrics.extractors import Extractor
    from ddpm.metrics.record import Reference

app = typer.Typer()

FEATURES = "out/features"
KINDS = f"classifier (of {FEATURES}), classifier:FOLDER, inception or inception:FILE"


@app.command()
def score(
    real: Annotated[Path, typer.Option(help="A folder or archive of images, or a .npy of uint8 (N, H, W, C).")],
    fake: Annotated[Path, typer.Option(help="The images to score, likewise.")],
    extractor: Annotated[str, typer.Option(help=KINDS)] = "classifier",
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
    splits: Annotated[int, typer.Option(help="Number of splits of the Inception Score.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the selection by --count and of the halves.", min=0)] = 0,
    device: options.Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score generated images against real ones.

    Prints FID, KID, precision, recall and other scores, with the conditions they were measured under.
    """
    from ddpm.metrics.inception_score import require_equal_parts
    from ddpm.metrics.record import score_features
    from ddpm.metrics.scoring import Features
    from ddpm.runtime.device import choose_device, deterministic

    deterministic()
    paths = {"real": real, "fake": fake} | ({"heldout": heldout} if heldout else {})
    sets = {name: _open_set(name, path, as_json) for name, path in paths.items()}
    sizes = _sizes(sets, resize)
    selected = _select(sets, count, unequal, seed)
    require_equal_parts(len(selected["fake"]), splits)
    network, classes = _extractor(extractor, resize, str(choose_device(device)))
    features = {name: _features(name, sets[name], selected[name], network, as_json) for name in sets}
    reference = _reference(features, network, classes, seed)
    result = score_features(Features(features["fake"]), None, network, reference, splits=splits)
    result["conditions"] |= {
        **{name: str(path) for name, path in paths.items()},
        "sizes": sizes,
        "drawn": "all" if count is None else f"by seed {seed}",
    }
    _print(result, as_json=as_json)


def _open_set(name: str, path: Path, quiet: bool) -> "ImageSet":
    """Open a set of images. Raises DataError, FileNotFoundError, TooFewImagesError."""
    from ddpm.common.progress import progress
    from ddpm.data import sets
    from ddpm.metrics.frechet import require_enough

    if quiet or path.suffix == ".npy":
        found = sets.open_set(path)
    else:
        from ddpm.data import sources

        with progress(f"score: reading {name}", len(sources.find(path).entries), "files") as shown:
            found = sets.open_set(path, shown.advance)
    require_enough(found.count, f"--{name} {path}", "Give more images.")
    return found


def _sizes(sets: "dict[str, ImageSet]", resize: str | None) -> str:
    """Describe the image sizes. Raises ValueError for differing sizes without a resize policy, or an unknown policy."""
    from ddpm.metrics.resize import POLICIES

    if resize is not None and resize not in POLICIES:
        raise ValueError(f"--resize {resize} is not a policy; possible: {', '.join(POLICIES)}")
    found = sorted(set().union(*(each.sizes for each in sets.values())))
    words = ", ".join(f"{width}x{height}" for width, height in found[:4]) + (", ..." if len(found) > 4 else "")
    if len(found) > 1 and resize is None:
        raise ValueError(
            f"the images have {len(found)} sizes ({words}), and resizing changes every score. Choose "
            "--resize clean (antialiased bicubic, as clean-fid) or --resize legacy (TensorFlow's bilinear)"
        )
    return words


def _select(sets: "dict[str, ImageSet]", count: int | None, unequal: bool, seed: int) -> "dict[str, NDArray[np.int64]]":
    """Select the indices of each set. Raises ValueError for too few images, or sets of unequal size."""
    import numpy as np

    from ddpm.metrics.frechet import require_enough

    judged = [sets["real"], sets["fake"]]
    if count is not None:
        require_enough(count, f"--count {count}", "Ask for more.")
        for each in judged:
            if each.count < count:
                raise ValueError(f"--count {count}: {each.location} has only {each.count:,} images")
    elif judged[0].count != judged[1].count and not unequal:
        raise ValueError(
            f"{judged[0].count:,} real and {judged[1].count:,} fake images: most scores depend on the count. "
            f"Use equally many with --count {min(each.count for each in judged)}, or --unequal"
        )
    take = {name: count if count is not None and name != "heldout" else each.count for name, each in sets.items()}
    order = {name: np.random.default_rng(seed).permutation(each.count) for name, each in sets.items()}
    return {name: np.sort(order[name][: take[name]]) for name in sets}


def _extractor(option: str, resize: str | None, device: str) -> "tuple[Extractor, tuple[str, ...]]":
    """Load the extractor that --extractor names, with its class names. Raises ValueError, FileNotFoundError."""
    from ddpm.common import files
    from ddpm.evaluation import extractor_store, reference
    from ddpm.metrics import inception

    kind, _, path = option.partition(":")
    match kind:
        case "classifier":
            folder = Path(path or FEATURES)
            if not (folder / reference.SUMMARY).is_file():
                raise FileNotFoundError(
                    f"{folder} has no extractor. In a project, run `dvc repro features`; elsewhere, "
                    "name one: --extractor classifier:FOLDER (a project's out/features) or inception:FILE"
                )
            found = extractor_store.from_folder(folder, device, resize or "none")
            if found.name != "classifier":
                raise ValueError(f"{folder} holds {found.name}, not a classifier; use --extractor {found.name}")
            return found, tuple(files.read_json(folder / reference.SUMMARY)["classes"])
        case "inception":
            file = path or f"weights/{inception.FILE}"
            return extractor_store.open_inception(file, resize or "clean", device), ()
        case _:
            raise ValueError(f"--extractor {option} is unknown; possible: {KINDS}")


def _features(
    name: str, images: "ImageSet", indices: "NDArray[np.int64]", extractor: "Extractor", quiet: bool
) -> "NDArray[np.float32]":
    """Extract the features (N, D) of the selected images."""
    from ddpm.common.progress import progress
    from ddpm.metrics.inception import InceptionExtractor

    channels = 3 if isinstance(extractor, InceptionExtractor) else int(getattr(extractor, "channels", 3))
    pixels = images.read(indices, channels)
    if quiet:
        return extractor(pixels)
    with progress(f"score: features of {name}", len(indices), "images") as shown:
        return extractor(pixels, shown.advance)


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
    known = None
    if len(real) // 2 >= frechet.SMALLEST_SET:
        known = floors(Features(real), None if more is None else Features(more), None, seed=seed, extractor=extractor)
    heldout = real[:0] if more is None else more
    sha256 = files.sha256_json([files.sha256_bytes(part.tobytes()) for part in (real, heldout)] + [list(classes)])
    scores, counts = (known.scores, known.counts) if known else ({}, {})
    return Reference(frechet.moments(real), real, heldout, scores, classes, sha256, floor_counts=counts)


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    """Print one JSON object, or a line per score and then per condition."""
    if as_json:
        terminal.echo_json(result)
        return
    conditions, floors = result.pop("conditions"), result.pop("floors")
    nested = {name: value for name, value in result.items() if isinstance(value, dict)}
    lines = [(name, value, floors.get(name, {})) for name, value in result.items() if isinstance(value, int | float)]
    for name, values in nested.items():
        lines += [(f"{name} {key}", each, {}) for key, each in values.items() if isinstance(each, int | float)]
    width = max(len(name) for name, _, _ in lines)
    for name, value, known in lines:
        others = ", ".join(f"{which} {number:.4g}" for which, number in known.items() if which != "copy")
        shown = f"{name.replace('_', ' '):<{width}}  {value:<10.6g}  {f'(real images: {others})' if others else ''}"
        terminal.echo(shown.rstrip())
    if not conditions["full_rank"]:
        terminal.echo("note: with no more images than features, the Fréchet distance is far too high")
    for name, value in conditions.items():
        terminal.echo(f"  {name.replace('_', ' ')}: {value}")
