"""`ddpm likelihood`: likelihood of images under a model, in bits per dimension."""

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
    model: options.ModelOption = options.TRAINED,
    images: Annotated[
        str,
        typer.Option(
            help="A folder or archive of images, a .npy of uint8 (N, H, W, C), or heldout, the held-out split."
        ),
    ] = HELDOUT,
    count: Annotated[
        int | None,
        typer.Option(
            help=f"Number of images, in equal shares per class or folder; by default {COUNT} or all.",
            min=1,
            show_default=False,
        ),
    ] = None,
    bound: Annotated[
        bool,
        typer.Option("--bound", help="Variational bound of ancestral sampling in place of the probability flow."),
    ] = False,
    variance: Annotated[
        str,
        typer.Option(
            help="With --bound: small, large or learned; by default learned if the model has it, else small.",
            show_default=False,
        ),
    ] = "",
    probes: Annotated[int, typer.Option(help="Probes of the trace estimator per image.", min=1)] = 1,
    tolerance: Annotated[
        float, typer.Option(help="Relative and absolute error of the flow's solver.", min=1e-9, max=0.1)
    ] = 1e-4,
    label: Annotated[
        str | None,
        typer.Option("--label", "--class", help="Class of all images, by name or index.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The noise of image i depends on seed + i.", min=0)] = 0,
    batch: Annotated[int, typer.Option(help="Images per batch.", min=1)] = 50,
    device: options.DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the likelihood of images, in bits per dimension.

    Lower is better; a uniform distribution has 8. The probability flow is solved adaptively; --bound takes T
    evaluations per image.
    """
    from ddpm import registry, tracking
    from ddpm.common.progress import progress
    from ddpm.model import checkpoint

    with tracking.friendly_errors():
        folder = registry.download(model)
    config = checkpoint.read_config(folder)
    chosen = chosen_variance(config, variance) if bound else ""
    pixels, labels, labels_from = load_images(images, config, count, label)
    loaded = checkpoint.load(folder)
    settings: dict[str, Any] = {"seed": seed, "batch": batch, "device": device}
    if bound:
        settings |= {"variance": chosen, "clamp": True}
    else:
        settings |= {"probes": probes, "tolerance": tolerance}
    total, unit = (len(pixels) * loaded.steps, "evaluations") if bound else (len(pixels), "images")
    if as_json:
        result = measure(loaded, pixels, labels, settings, lambda done: None)
    else:
        with progress("likelihood", total, unit) as shown:
            result = measure(loaded, pixels, labels, settings, shown.advance)
    conditions = {"model": model, "weights_sha256": loaded.sha256, "images": images, "labels": labels_from, **settings}
    report(result | {"conditions": conditions}, as_json=as_json)


def measure(
    model: Any, pixels: "NDArray[np.uint8]", labels: Any, settings: Mapping[str, Any], advance: Callable[[int], None]
) -> dict[str, Any]:
    """Measure mean bits per dimension with standard error, the parts of a bound, and evaluations per image."""
    import numpy as np

    from ddpm.sampling import generate, likelihood

    bound = "variance" in settings
    with generate.evaluations(model) as seen:
        if bound:
            parts = likelihood.by_bound(model, pixels, labels, **settings, advance=advance)
        else:
            parts = {"total": likelihood.by_flow(model, pixels, labels, **settings, advance=advance)}
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
    """Print the result."""
    if as_json:
        terminal.echo_json(result)
        return
    error = "" if result["standard_error"] is None else f" +- {result['standard_error']:.4f}"
    terminal.echo(f"{result['bits_per_dim']:.4f}{error} bits/dim by the {result['method']}, {result['count']:,} images")
    if "decoder" in result:
        terminal.echo("  parts: " + ", ".join(f"{name} {result[name]:.4f}" for name in ("prior", "steps", "decoder")))
    terminal.echo(f"  network evaluations per image: {result['evaluations']:,.0f}")
    for name, value in result["conditions"].items():
        terminal.echo(f"  {name.replace('_', ' ')}: {value}")


def chosen_variance(config: "ModelConfig", asked: str) -> str:
    """Return the reverse variance for the bound. Raises ValueError for one that the model does not have."""
    learned = config.diffusion.learned_variance
    possible = ["small", "large", *(["learned"] if learned else [])]
    if not asked:
        return possible[-1] if learned else "small"
    if asked not in possible:
        raise ValueError(f"variance = {asked!r}: possible for this model: {', '.join(possible)}")
    return asked


def load_images(
    source: str, config: "ModelConfig", count: int | None, label: str | None
) -> tuple["NDArray[np.uint8]", Any, str]:
    """Load images (N, H, W, C) uint8, labels (N,) or None, and a description of the labels.

    Raises ValueError for images or classes that do not fit the model, or too few images.
    """
    import numpy as np

    from ddpm.common.class_names import class_index
    from ddpm.data import order, prepared

    config.require_denoiser("the likelihood")
    image, classes = config.image, list(config.image.classes)
    if config.diffusion.scale:
        raise ValueError("the likelihood of a super-resolution model is not supported")
    if source == HELDOUT:
        data = prepared.load()
        indices = np.sort(order.heldout(data, count or COUNT))
        found, known = data.images[indices], data.labels[indices]
    else:
        found, known = _from_path(Path(source), image, count or COUNT), None
    needed = (image.resolution, image.resolution, image.channels)
    if found.shape[1:] != needed:
        raise ValueError(f"{source} has images of shape {found.shape[1:]}; this model needs {needed}")
    if count is not None and len(found) < count:
        raise ValueError(f"--count {count}: {source} has only {len(found)} images")
    if label is not None:
        return found, np.full(len(found), class_index(label, classes), np.int64), label
    if not classes:
        return found, None, "none"
    if known is not None:
        if list(data.classes) != classes:
            raise ValueError(f"the held-out images have classes {data.classes}, but this model has {classes}")
        return found, known, "their own"
    if not image.label_dropout:
        raise ValueError(f"this model needs a class (trained without label_dropout): --label {classes[0]}")
    return found, np.full(len(found), len(classes), np.int64), "hidden"


def _from_path(path: Path, image: "ImageConfig", count: int) -> "NDArray[np.uint8]":
    """Read `count` images: of a .npy file in random order; of a folder or archive the same share of each folder."""
    import numpy as np

    from ddpm.common import files
    from ddpm.data import exact, order

    if path.suffix == ".npy":
        array = files.read_npy(path, memory_map=True)
        if array.dtype != np.uint8 or array.ndim != 4:
            raise ValueError(f"{path} holds {array.dtype} of shape {array.shape}; must be uint8 (N, H, W, C)")
        return np.asarray(array[np.sort(order.balanced(np.full(len(array), -1))[:count])])
    found = exact.read(path, image.resolution, image.channels, "the size of the model's images", count)
    return np.stack(list(found.values()))
