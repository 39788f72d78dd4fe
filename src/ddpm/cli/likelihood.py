"""`ddpm likelihood`: how probable a model finds images, in bits per dimension."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options
from ddpm.common import terminal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddpm.model.config import ImageConfig, ModelConfig

app = typer.Typer()

HELDOUT = "heldout"
COUNT = 100


@app.command()
def likelihood(
    model: options.Model = options.TRAINED,
    images: Annotated[
        str,
        typer.Option(
            help="A folder or archive of image files, a .npy of uint8 (N, H, W, C), or heldout: the held-out split."
        ),
    ] = HELDOUT,
    count: Annotated[
        int | None,
        typer.Option(
            help=f"How many images, of each class or folder its share; by default {COUNT}, or what there is.",
            min=1,
            show_default=False,
        ),
    ] = None,
    bound: Annotated[
        bool, typer.Option("--bound", help="The variational bound of ancestral sampling, with T evaluations per image.")
    ] = False,
    variance: Annotated[
        str, typer.Option(help="--bound only: small, large or learned; by default what the model has.")
    ] = "",
    probes: Annotated[int, typer.Option(help="Probes of the trace for each image.", min=1)] = 1,
    tolerance: Annotated[
        float, typer.Option(help="Error of the flow, relative and absolute.", min=1e-9, max=0.1)
    ] = 1e-4,
    label: Annotated[
        str | None,
        typer.Option("--label", "--class", help="The class of all images, by name or index.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The noise of image i comes from seed + i.", min=0)] = 0,
    batch: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 50,
    device: options.Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how probable a model finds images: bits per dimension, lower is better, 8 if all were as likely."""
    from ddpm import registry, tracking
    from ddpm.common.progress import progress
    from ddpm.model import checkpoint

    with tracking.friendly_errors():
        folder = registry.download(model)
    config = checkpoint.read_config(folder)
    chosen = chosen_variance(config, variance) if bound else ""
    pixels, labels, told = pictures(images, config, count, label)
    loaded = checkpoint.load(folder)
    asked: dict[str, Any] = {"seed": seed, "batch": batch, "device": device}
    if bound:
        asked |= {"variance": chosen, "clamp": True}
    else:
        asked |= {"probes": probes, "tolerance": tolerance}
    total, unit = (len(pixels) * loaded.steps, "evaluations") if bound else (len(pixels), "images")
    if as_json:
        result = measured(loaded, pixels, labels, asked, lambda done: None)
    else:
        with progress("likelihood", total, unit) as shown:
            result = measured(loaded, pixels, labels, asked, shown.advance)
    conditions = {"model": model, "weights_sha256": loaded.sha256, "images": images, "labels": told, **asked}
    report(result | {"conditions": conditions}, as_json=as_json)


def measured(
    model: Any, pixels: "NDArray[np.uint8]", labels: Any, asked: Mapping[str, Any], advance: Callable[[int], None]
) -> dict[str, Any]:
    """Mean bits per dimension with its standard error, the parts of a bound, and evaluations per image."""
    import numpy as np

    from ddpm.sampling import generate, likelihood

    bound = "variance" in asked
    with generate.evaluations(model) as seen:
        if bound:
            parts = likelihood.by_bound(model, pixels, labels, **asked, advance=advance)
        else:
            parts = {"total": likelihood.by_flow(model, pixels, labels, **asked, advance=advance)}
    each = parts.pop("total")
    error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else None
    return {
        "bits_per_dim": float(each.mean()),
        "standard_error": error,
        "method": "variational bound" if bound else "probability flow",
        "count": len(each),
        "evaluations": sum(seen) / len(each),
        **{name: float(part.mean()) for name, part in parts.items()},
    }


def report(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print it."""

    if as_json:
        terminal.echo_json(result)
        return
    error = "" if result["standard_error"] is None else f" +- {result['standard_error']:.4f}"
    terminal.echo(f"{result['bits_per_dim']:.4f}{error} bits/dim by the {result['method']}, {result['count']:,} images")
    if "decoder" in result:
        terminal.echo("  of it " + ", ".join(f"{name} {result[name]:.4f}" for name in ("prior", "steps", "decoder")))
    terminal.echo(f"  evaluations of the network per image: {result['evaluations']:,.0f}")
    for name, value in result["conditions"].items():
        terminal.echo(f"  {name.replace('_', ' ')}: {value}")


def chosen_variance(config: "ModelConfig", asked: str) -> str:
    """The variance of a step of the bound. Raises ValueError for one that the model has not."""
    learned = config.diffusion.learned_variance
    possible = ["small", "large", *(["learned"] if learned else [])]
    if not asked:
        return possible[-1] if learned else "small"
    if asked not in possible:
        raise ValueError(f"variance = {asked!r}: this model can have {', '.join(possible)}")
    return asked


def pictures(
    source: str, config: "ModelConfig", count: int | None, label: str | None
) -> tuple["NDArray[np.uint8]", Any, str]:
    """Images (N, H, W, C) uint8, labels (N,) or None, and a description of the labels. Raises ValueError."""
    import numpy as np

    from ddpm.common.class_names import class_index
    from ddpm.data import order, prepared

    image, classes = config.image, list(config.image.classes)
    if config.diffusion.scale:
        raise ValueError("this model needs a small image beside each image; its likelihood is not offered")
    if source == HELDOUT:
        data = prepared.load()
        indices = np.sort(order.heldout(data, count or COUNT))
        found, known = data.images[indices], data.labels[indices]
    else:
        found, known = _from_path(Path(source), image, count or COUNT), None
    needed = (image.resolution, image.resolution, image.channels)
    if found.shape[1:] != needed:
        raise ValueError(f"images of the shape {found.shape[1:]} in {source}; this model needs {needed}")
    if count is not None and len(found) < count:
        raise ValueError(f"--count {count}: {source} has only {len(found)} images")
    if label is not None:
        return found, np.full(len(found), class_index(label, classes), np.int64), label
    if not classes:
        return found, None, "none"
    if known is not None:
        if list(data.classes) != classes:
            raise ValueError(f"the held-out images have the classes {data.classes}, and this model {classes}")
        return found, known, "their own"
    if not image.label_dropout:
        raise ValueError(f"this model always needs a class (trained without label_dropout): --label {classes[0]}")
    return found, np.full(len(found), len(classes), np.int64), "hidden"


def _from_path(path: Path, image: "ImageConfig", count: int) -> "NDArray[np.uint8]":
    """`count` images of a .npy file, in an order of chance, or of a folder or archive, of each folder its share."""
    import numpy as np

    from ddpm.common import files
    from ddpm.data import exact, order

    if path.suffix == ".npy":
        array = files.read_npy(path, memory_map=True)
        if array.dtype != np.uint8 or array.ndim != 4:
            raise ValueError(f"{path} holds {array.dtype} of the shape {array.shape}; needed: uint8 (N, H, W, C)")
        return np.asarray(array[np.sort(order.balanced(np.full(len(array), -1))[:count])])
    found = exact.read(path, image.resolution, image.channels, "the size of the model's images", count)
    return np.stack(list(found.values()))
