"""`ddpm export` and `ddpm import`: exchange models with other programs."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ddpm.cli import options
from ddpm.common import terminal

app = typer.Typer()


class Format(StrEnum):
    """Supported formats."""

    diffusers = "diffusers"


@app.command("export")
def export_(
    folder: Annotated[Path, typer.Argument(help="The new folder.", metavar="DIR")],
    to: Annotated[Format, typer.Option("--to", help="Format.")] = Format.diffusers,
    model: options.ModelOption = options.TRAINED,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            "--class",
            help="Restrict a class-conditional model to one class (or none), for pipelines without labels.",
        ),
    ] = None,
) -> None:
    """Export a model for diffusers.

    The folder opens with diffusers.DDPMPipeline.from_pretrained.
    """
    _must_be_new(folder)

    from ddpm import exchange, registry, tracking
    from ddpm.model import checkpoint

    with tracking.friendly_errors():
        checkpoint_folder = registry.download(model)
    exchange.export(checkpoint_folder, folder, label)
    config = checkpoint.read_config(checkpoint_folder)
    trust = ", trust_remote_code=True" if config.net.patch > 1 else ""  # the folder then has its own module
    terminal.echo(
        f'export: {model} is in {folder}; open it with diffusers.DDPMPipeline.from_pretrained("{folder}"{trust})'
    )
    terminal.echo(f"it has T = {config.diffusion.steps}: pass num_inference_steps of at most {config.diffusion.steps}")
    classes = config.image.classes
    if classes and label is None:
        terminal.echo(
            f"it is class-conditional, which DDPMPipeline does not support: call its unet with class_labels "
            f"0 to {len(classes) - 1} ({', '.join(classes)}) or {len(classes)} (none), or export one class with --label"
        )


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="A diffusers folder: a UNet2DModel and its scheduler.", metavar="DIR")],
    out: Annotated[Path, typer.Option("--out", help="The new checkpoint folder.")],
    classes: Annotated[
        str | None,
        typer.Option(
            help="Class names, separated by commas; without the last label if that means no class.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Import a diffusers model as a checkpoint."""
    _must_be_new(out)

    from ddpm import exchange

    config = exchange.take(folder, out, None if classes is None else [name.strip() for name in classes.split(",")])
    image, steps = config.image, config.diffusion.steps
    side, labels = image.resolution, len(image.classes)
    terminal.echo(
        f"import: {side} x {side}, {image.channels} channel(s), {labels or 'no'} classes, T = {steps}: in {out}"
    )
    terminal.echo(f"sample from it with: ddpm sample --model {out}")
    terminal.echo(f"fine-tune it with `train.initial: {out}` and this network in params.yaml:")
    terminal.echo("net:", *(f"  {key}: {json.dumps(value)}" for key, value in config.source["net"].items()))


def _must_be_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder; name a new one")
