"""`ddpm sample`: samples from a registered version or a checkpoint."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import interpolate as between
from ddpm.cli import options, sample_output, settings
from ddpm.common import terminal
from ddpm.sampling.options import NAMES
from ddpm.sampling.settings import STEPS
from ddpm.sampling.settings import sampling as chosen_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ddpm.metrics.shards import Shard
    from ddpm.model.checkpoint import Model
    from ddpm.sampling.chunks import Parts

app = typer.Typer()

COUNT = 64


@app.command()
def sample(
    context: typer.Context,
    model: options.ModelOption = options.TRAINED,
    count: Annotated[
        int | None,
        typer.Option(
            help=f"Number of images.  [default: {COUNT}, or {between.COUNT} with --from]", min=1, show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Image i is generated from seed + i.", min=0)] = 0,
    sampler: Annotated[str | None, options.sampler_option("sampler")] = None,
    steps: Annotated[
        int | None,
        options.sampler_option("steps", f"{STEPS}, or T if that is less; {between.STEPS} with --from"),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--label", "--class", help="Class, by name or index; by default all in turn.", show_default=False),
    ] = None,
    guidance: Annotated[float | None, options.sampler_option("guidance")] = None,
    guidance_interval: Annotated[
        tuple[float, float] | None, options.sampler_option("guidance_interval", "all levels, as by 0 1e9")
    ] = None,
    guidance_rescale: Annotated[float | None, options.sampler_option("guidance_rescale")] = None,
    guide: Annotated[
        str | None,
        typer.Option(help="A weaker model for autoguidance, given like --model.", show_default=False),
    ] = None,
    spacing: Annotated[str | None, options.sampler_option("spacing")] = None,
    eta: Annotated[float | None, options.sampler_option("eta")] = None,
    variance: Annotated[str | None, options.sampler_option("variance")] = None,
    churn: Annotated[float | None, options.sampler_option("churn")] = None,
    churn_min: Annotated[float | None, options.sampler_option("churn_min")] = None,
    churn_max: Annotated[float | None, options.sampler_option("churn_max")] = None,
    churn_noise: Annotated[float | None, options.sampler_option("churn_noise")] = None,
    corrections: Annotated[int | None, options.sampler_option("corrections")] = None,
    snr: Annotated[float | None, options.sampler_option("snr")] = None,
    tolerance: Annotated[float | None, options.sampler_option("tolerance")] = None,
    clamp: Annotated[bool | None, options.sampler_option("clamp")] = None,
    batch: Annotated[int, typer.Option(help="Images per batch.", min=1)] = 250,
    device: options.DeviceOption = "auto",
    frames: Annotated[
        int | None,
        typer.Option(help="Frames of an animation; by default one per step.", min=2, show_default=False),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Interpolate from this picture or seed to --to.", show_default=False),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="End of the interpolation, a picture or seed.", show_default=False)
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="A .png (one grid), a .gif or .webp (animation of the sampling), a .npy (array), a .csv (series), or "
            "a folder (one PNG per image)."
        ),
    ] = Path("samples.png"),
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Make a folder of each class in the folder --out.")
    ] = False,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Sample images or series into a picture, animation, array, table or folder.

    A grid of all classes has a column for each. In a folder, files are named by seed and class; the text of each PNG
    has these, the model and its weights. A registered version is sampled with the settings that it was evaluated with;
    the defaults below apply to other models. Finished images are kept next to --out, so the same command resumes after
    an interruption. Several processes share the work: torchrun --nproc-per-node N --no-python ddpm sample ...
    """
    if start is not None or end is not None:
        _require_single_process("an interpolation")
        first, last = _ends(context, start, end)
        between.interpolate(
            model, first, last, out, count=count or between.COUNT, steps=steps or between.STEPS, label=label,
            guidance=guidance, device=device, overwrite=overwrite,
        )  # fmt: skip
        return
    count = count or COUNT
    target = _Target(out, sample_output.writer(out, count, by_class=by_class, overwrite=overwrite), by_class)
    _sample(context, model, guide, label, target, count=count, seed=seed, batch=batch, device=device, frames=frames)


@dataclass(frozen=True)
class _Target:
    """Where to write samples, and how."""

    out: Path
    write: Callable[[sample_output.Samples], None]
    by_class: bool


def _sample(
    context: typer.Context, model: str, guide: str | None, label: str | None, target: _Target, *,
    count: int, seed: int, batch: int, device: str, frames: int | None,
) -> None:  # fmt: skip
    """Sample the images and write them; the sampler options are those of the command line."""
    from ddpm import registry, tracking
    from ddpm.common import files
    from ddpm.common.class_names import class_index
    from ddpm.imaging import animation
    from ddpm.imaging.paths import as_pictures
    from ddpm.model import checkpoint
    from ddpm.sampling import generate

    shard = _shard(context)
    with tracking.friendly_errors():
        folder, own = shard.in_turn(lambda: registry.download_with_settings(model))
        weak = shard.in_turn(lambda: registry.download(guide)) if guide else None
    config = checkpoint.read_config(folder)
    sample_output.require_table(target.out, config.image.columns)
    chosen = {name: value for name in NAMES if (value := context.params[name]) is not None}
    sampling, notes = chosen_settings(model, own, chosen, config.diffusion.steps, guide=weak is not None)
    classes, out = config.image.classes, target.out
    if target.by_class:
        sample_output.class_folders(classes)
    labels = None if label is None else [class_index(label, classes)] * count
    frame_count = sample_output.frame_count(out, count, frames, sampling.steps)
    generate.check(config, sampling, count, labels, guide=checkpoint.read_config(weak) if weak else None)
    if shard.rank == 0:
        settings.print_notes(notes)
    loaded, loaded_guide = checkpoint.load(folder), checkpoint.load(weak) if weak else None
    if frame_count:
        _require_single_process("an animation")
        drawn = {"seed": seed, "labels": labels, "guide": loaded_guide, "device": device}
        strip = generate.strip(loaded, count, frame_count, sampling, **drawn)
        in_turn = len(classes) if label is None else 0
        files.write_bytes(out, animation.animate(as_pictures(strip), out.suffix, in_turn))
        terminal.echo(f"sample: an animation of {count:,} images of {model} in {frame_count} frames is in {out}")
        return
    parts = _draw(
        out, loaded, loaded_guide, sampling, labels, shard, count=count, seed=seed, batch=batch, device=device
    )  # fmt: skip
    if shard.rank > 0:
        return
    every = labels or generate.default_labels(count, len(classes))
    names = [classes[each] for each in every]
    origin = {"model": model, "weights": loaded.sha256}
    in_turn = classes if label is None else ()
    target.write(sample_output.Samples(parts, seed, names, in_turn, origin, config.image.columns))
    parts.remove()
    terminal.echo(f"sample: {count:,} images of {model} are in {out}")


def _shard(context: typer.Context) -> "Shard":
    """Join the process group of torchrun, which ends with this command; a single shard without torchrun."""
    from ddpm.metrics.shards import Shard
    from ddpm.runtime import torchrun
    from ddpm.runtime.parent import die_with_parent
    from ddpm.runtime.process_group import process_group

    if torchrun.by_torchrun():
        die_with_parent()
    return Shard(*context.with_resource(process_group()))


def _require_single_process(target: str) -> None:
    """Raise ValueError under torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(f"{target} is sampled by a single process: run this without torchrun")


def _draw(
    out: Path, model: "Model", guide: "Model | None", sampling: Any, labels: list[int] | None, shard: "Shard", *,
    count: int, seed: int, batch: int, device: str,
) -> "Parts":  # fmt: skip
    """Draw all images into parts next to `out`, which survive an interruption; processes share the missing ones."""
    from ddpm.common.progress import Progress, progress
    from ddpm.sampling import chunks, generate

    job = {"weights_sha256": model.sha256, "guide_sha256": guide.sha256 if guide else "",
           "sampling": asdict(sampling), "seed": seed, "labels": labels and labels[0]}  # fmt: skip
    parts = shard.in_turn(lambda: chunks.opened(out.with_name(f"{out.name}.parts"), job, count, batch))
    every = labels or generate.default_labels(count, len(model.classes)) or None
    mine = parts.missing()[shard.rank :: shard.count]
    shard.wait()  # all processes list the missing parts before any is filled
    silent = contextlib.nullcontext(Progress("sample", 0, "images"))
    with silent if shard.rank else progress("sample", count, "images") as shown:
        shown.start_at(parts.done())

        def draw(indices: range) -> "NDArray[Any]":
            chosen = every and every[indices.start : indices.stop]
            return generate.generate(
                model, len(indices), sampling, seed=seed + indices.start, labels=chosen, guide=guide, batch=batch,
                device=device, advance=shown.advance if shard.count == 1 else None,
            )  # fmt: skip

        for part in mine:
            parts.fill(draw, [part])
            shown.advance(parts.done() - shown.done)
        shard.wait()
        shown.advance(parts.done() - shown.done)
    return parts


def _ends(context: typer.Context, start: str | None, end: str | None) -> tuple[str, str]:
    """Return both ends. Raises ValueError if one is missing, or for an option that does not apply."""
    if start is None or end is None:
        raise ValueError(f"--from and --to need each other; --{'from' if start is None else 'to'} is missing")
    given = [name for name in context.params if str(context.get_parameter_source(name)).endswith("COMMANDLINE")]
    other = [f"--{name.replace('_', '-')}" for name in given if name not in between.OPTIONS]
    if other:
        raise ValueError(
            f"{', '.join(other)} does not apply to an interpolation; possible with --from and --to: --model, --count, "
            "--steps, --label, --guidance, --device, --out"
        )
    return start, end
