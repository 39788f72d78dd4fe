"""`ddpm sample`: images from a registered version or a checkpoint."""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import interpolate as between
from ddpm.cli import options, settings
from ddpm.common import terminal
from ddpm.sampling.options import NAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ddpm.metrics.shards import Shard
    from ddpm.model.checkpoint import Model
    from ddpm.sampling.chunks import Parts

app = typer.Typer()

LARGEST_GRID = 10_000
LARGEST_FILM = 100
FILMS = (".gif", ".webp")  # as in imaging.animation, which imports Pillow
COUNT = 64


@app.command()
def sample(
    context: typer.Context,
    model: options.Model = options.TRAINED,
    count: Annotated[
        int | None,
        typer.Option(help=f"How many images; {COUNT}, or {between.COUNT} with --from.", min=1, show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Image i is drawn from seed + i.", min=0)] = 0,
    sampler: Annotated[str | None, options.of_sampler("sampler")] = None,
    steps: Annotated[
        int | None,
        options.of_sampler("steps", f"{settings.STEPS}, or T if that is less; {between.STEPS} with --from"),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", "--class", help="A class, by name or index; by default all in turn.", show_default=False
        ),
    ] = None,
    guidance: Annotated[float | None, options.of_sampler("guidance")] = None,
    guidance_interval: Annotated[
        tuple[float, float] | None, options.of_sampler("guidance_interval", "all levels, as by 0 1e9")
    ] = None,
    guidance_rescale: Annotated[float | None, options.of_sampler("guidance_rescale")] = None,
    guide: Annotated[
        str | None,
        typer.Option(help="A weaker model to push away from (autoguidance); given like --model.", show_default=False),
    ] = None,
    spacing: Annotated[str | None, options.of_sampler("spacing")] = None,
    eta: Annotated[float | None, options.of_sampler("eta")] = None,
    variance: Annotated[str | None, options.of_sampler("variance")] = None,
    churn: Annotated[float | None, options.of_sampler("churn")] = None,
    churn_min: Annotated[float | None, options.of_sampler("churn_min")] = None,
    churn_max: Annotated[float | None, options.of_sampler("churn_max")] = None,
    churn_noise: Annotated[float | None, options.of_sampler("churn_noise")] = None,
    corrections: Annotated[int | None, options.of_sampler("corrections")] = None,
    snr: Annotated[float | None, options.of_sampler("snr")] = None,
    tolerance: Annotated[float | None, options.of_sampler("tolerance")] = None,
    clamp: Annotated[bool | None, options.of_sampler("clamp")] = None,
    batch: Annotated[int, typer.Option(help="Images drawn at a time.", min=1)] = 250,
    device: options.Device = "auto",
    frames: Annotated[
        int | None, typer.Option(help="Of a film; by default one for each step.", min=2, show_default=False)
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Draw what lies between this picture (or seed) and --to.", show_default=False),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="The other end, a picture or a seed.", show_default=False)
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="A .png (one grid), a .gif or .webp (a film of how it comes to be), a .npy (an array), "
            "or a folder (a PNG each)."
        ),
    ] = Path("samples.png"),
) -> None:
    """Draw images from a model into a picture, a folder or an array.

    Without options, a registered version is drawn by the settings that it was evaluated with.
    What is drawn is kept beside --out until all is there: after a stop, the same command goes on. Several processes
    share the work: torchrun --nproc-per-node N --no-python ddpm sample ...
    """
    if start is not None or end is not None:
        _alone("what lies between two images")
        first, last = _ends(context, start, end)
        between.interpolate(
            model, first, last, out, count=count or between.COUNT, steps=steps or between.STEPS, label=label,
            guidance=guidance, device=device,
        )  # fmt: skip
        return
    count = count or COUNT
    write = _writer(out, count)

    from ddpm import registry, tracking
    from ddpm.common import files
    from ddpm.common.class_names import class_index
    from ddpm.imaging import animation
    from ddpm.model import checkpoint
    from ddpm.sampling import generate

    shard = _company(context)
    with tracking.friendly_errors():
        folder, own = shard.in_turn(lambda: registry.download_with_settings(model))
        weak = shard.in_turn(lambda: registry.download(guide)) if guide else None
    config = checkpoint.read_config(folder)
    chosen = {name: value for name in NAMES if (value := context.params[name]) is not None}
    sampling, notes = settings.sampling(model, own, chosen, config.diffusion.steps, guide=weak is not None)
    labels = None if label is None else [class_index(label, config.image.classes)] * count
    moments = _moments(out, count, frames, sampling.steps)
    generate.check(config, sampling, count, labels, guide=checkpoint.read_config(weak) if weak else None)
    if shard.rank == 0:
        settings.say(notes)
    loaded, loaded_guide = checkpoint.load(folder), checkpoint.load(weak) if weak else None
    if moments:
        _alone("a film")
        drawn = {"seed": seed, "labels": labels, "guide": loaded_guide, "device": device}
        files.write_bytes(out, animation.animate(generate.strip(loaded, count, moments, sampling, **drawn), out.suffix))
        terminal.echo(f"sample: a film of {count:,} images of {model} in {moments} frames is in {out}")
        return
    kept = _drawn(
        out, loaded, loaded_guide, sampling, labels, shard, count=count, seed=seed, batch=batch, device=device
    )  # fmt: skip
    if shard.rank > 0:
        return
    write(kept)
    kept.remove()
    terminal.echo(f"sample: {count:,} images of {model} are in {out}")


def _company(context: typer.Context) -> "Shard":
    """This process among those that torchrun started, with which it ends."""
    from ddpm.metrics.shards import Shard
    from ddpm.runtime import torchrun
    from ddpm.runtime.parent import die_with_parent
    from ddpm.runtime.process_group import process_group

    if torchrun.by_torchrun():
        die_with_parent()
    return Shard(*context.with_resource(process_group()))


def _alone(what: str) -> None:
    """Raises ValueError under torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(f"{what} is the work of one process: draw it without torchrun")


def _drawn(
    out: Path, model: "Model", guide: "Model | None", sampling: Any, labels: list[int] | None, shard: "Shard", *,
    count: int, seed: int, batch: int, device: str,
) -> "Parts":  # fmt: skip
    """All images, in parts beside `out` that outlive a stop; several processes deal the missing ones out."""
    from ddpm.common.progress import Progress, progress
    from ddpm.sampling import chunks, generate

    job = {"weights_sha256": model.sha256, "guide_sha256": guide.sha256 if guide else "",
           "sampling": asdict(sampling), "seed": seed, "labels": labels and labels[0]}  # fmt: skip
    kept = shard.in_turn(lambda: chunks.opened(out.with_name(f"{out.name}.parts"), job, count, batch))
    every = labels or generate.default_labels(count, len(model.classes)) or None
    mine = kept.missing()[shard.rank :: shard.count]
    shard.wait()  # nobody draws before all have seen what is missing
    silent = contextlib.nullcontext(Progress("sample", 0, "images"))
    with silent if shard.rank else progress("sample", count, "images") as shown:
        shown.start_at(kept.done())

        def draw(indices: range) -> "NDArray[np.uint8]":
            chosen = every and every[indices.start : indices.stop]
            return generate.generate(
                model, len(indices), sampling, seed=seed + indices.start, labels=chosen, guide=guide, batch=batch,
                device=device, advance=shown.advance if shard.count == 1 else None,
            )  # fmt: skip

        for part in mine:
            kept.fill(draw, [part])
            shown.advance(kept.done() - shown.done)
        shard.wait()
        shown.advance(kept.done() - shown.done)
    return kept


def _ends(context: typer.Context, start: str | None, end: str | None) -> tuple[str, str]:
    """Both ends. Raises ValueError when one is missing, or for an option that has no meaning between two images."""
    if start is None or end is None:
        raise ValueError(f"--from and --to belong together; --{'from' if start is None else 'to'} is missing")
    given = [name for name in context.params if str(context.get_parameter_source(name)).endswith("COMMANDLINE")]
    other = [f"--{name.replace('_', '-')}" for name in given if name not in between.OPTIONS]
    if other:
        raise ValueError(
            f"{', '.join(other)} has no meaning between two images; possible beside --from and --to: --model, --count, "
            "--steps, --label, --guidance, --device, --out"
        )
    return start, end


def _moments(out: Path, count: int, frames: int | None, steps: int) -> int:
    """Frames of a film; 0 for images that stand still. Raises ValueError for a film that cannot be."""
    if out.suffix not in FILMS:
        if frames is not None:
            raise ValueError(f"--frames is for a film, and --out is {out}: end it with {' or '.join(FILMS)}")
        return 0
    if count > LARGEST_FILM:
        raise ValueError(f"a film of {count:,} images side by side cannot be looked at; use --count {LARGEST_FILM}")
    if frames is not None and frames > steps + 1:
        raise ValueError(f"frames = {frames}: {steps} steps have {steps + 1} moments; use more steps")
    return steps + 1 if frames is None else frames


def _writer(out: Path, count: int) -> Callable[["Parts"], None]:
    """How to write to `out`, decided by its ending before any work. Raises ValueError for an impossible target."""
    from ddpm.common import files

    writers: Mapping[str, Callable[[Parts], None]] = {
        ".png": lambda drawn: _grid(out, drawn),
        ".npy": lambda drawn: files.write_npy_rows(out, count, drawn.read()),
        **{ending: lambda drawn: None for ending in FILMS},  # written from all moments, not from the images
        "": lambda drawn: _folder(out, drawn),
    }
    if out.suffix not in writers and not out.is_dir():
        raise ValueError(
            f"--out {out}: end it with .png for one grid, .gif or .webp for a film, .npy for an array, or name a folder"
        )
    if out.suffix == ".png" and count > LARGEST_GRID:
        raise ValueError(f"a grid of {count:,} images cannot be looked at; use a folder or a .npy file")
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f"the folder {out} is not empty; name a new one")
    if out.exists() and not out.is_dir() and out.suffix == "":
        raise ValueError(f"{out} is a file; name a folder, a .png or a .npy file")
    return writers["" if out.is_dir() else out.suffix]


def _grid(out: Path, drawn: "Parts") -> None:
    """One picture, as near to a square as the count allows, small images enlarged by whole pixels."""
    from ddpm.common import files
    from ddpm.imaging import pixels, sheets

    images = [image for part in drawn.read() for image in part]
    files.write_bytes(out, sheets.grid(images, pixels.square_columns(len(images))))


def _folder(out: Path, drawn: "Parts") -> None:
    """A PNG per image, named by its place; the folder appears whole or not at all."""
    from ddpm.common import files
    from ddpm.imaging.pixels import to_pil

    digits = max(6, len(str(drawn.count - 1)))
    with files.fresh_folder(out) as new:
        for index, image in enumerate(image for part in drawn.read() for image in part):
            to_pil(image).save(new / f"{index:0{digits}d}.png")
