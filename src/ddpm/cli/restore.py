"""`ddpm restore`: restoration of degraded pictures by a model, without training for the task."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ddpm.cli import options, sample_output, settings
from ddpm.common import terminal

app = typer.Typer()
OWN_FILE = re.compile(r"(restored-\d+|mean|spread|strip)\.png|spread\.npy|scores\.json")
"""Names of the files in a folder of restorations."""


@app.command()
def restore(
    task: Annotated[str, typer.Argument(help="inpaint, super-resolution, denoise or colourise.")],
    given: Annotated[Path, typer.Option("--input", help="A picture, or a folder of pictures.")],
    out: Annotated[Path, typer.Option(help="A new folder: pictures, strip.png, scores.json.")],
    model: options.ModelOption = options.TRAINED,
    mask: Annotated[
        Path | None, typer.Option(help="inpaint: a mask picture, white where to paint.", show_default=False)
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            help="super-resolution: enlargement factor, such as 2 or 4; omit it for a super-resolution model.",
            show_default=False,
        ),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help="Standard deviation of the input noise (grey levels / 127.5), or auto to estimate it.",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Ground truth, to score against.", show_default=False)] = None,
    count: Annotated[int, typer.Option(help="Restorations of each input; with 2 or more, their spread is shown.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the restorations.", min=0)] = 0,
    sampler: Annotated[
        str | None, options.sampler_option("sampler", "ddpm, or the setting of a super-resolution version")
    ] = None,
    steps: Annotated[
        int | None, options.sampler_option("steps", "20, or 1 for a single denoising (the posterior mean)")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            help="Repetitions of each step.  [default: 8; 1 for denoise and for a super-resolution model]",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", "--class", help="Class of the inputs, by name or index; by default any.", show_default=False
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images per batch.", min=1)] = 64,
    device: options.DeviceOption = "auto",
    overwrite: options.OverwriteOption = False,
) -> None:
    """Inpaint, enlarge, denoise or colourise pictures."""
    if out.is_file():
        raise ValueError(f"--out {out} is a file; name a new folder")
    sample_output.require_new(out, overwrite=overwrite, own=lambda path: OWN_FILE.fullmatch(path.name) is not None)

    from ddpm import registry, tracking
    from ddpm.common.class_names import class_index
    from ddpm.common.progress import progress
    from ddpm.model import checkpoint
    from ddpm.restore import inputs, outputs, run, tasks
    from ddpm.sampling.settings import without

    with tracking.friendly_errors():
        folder, own = registry.download_with_settings(model)
    config = checkpoint.read_config(folder)
    plan = tasks.plan(
        config, task, mask=mask is not None, scale=scale, noise=noise, sampler=sampler, steps=steps, own=own,
        rounds=rounds,
        count=count, seed=seed, label=None if label is None else class_index(label, config.image.classes),
    )  # fmt: skip
    if plan.trained and own == {}:
        settings.print_notes([f"{without(model)}: {plan.sampling.sampler}, {plan.sampling.steps} steps"])
    read = inputs.read(plan, given, mask, truth)
    observation = run.observe(plan, read, config.diffusion)
    loaded = checkpoint.load(folder)
    with progress("restore", len(read.names) * count, "images") as shown:
        restored = run.restore(loaded, plan, observation, batch=batch, device=device, advance=shown.advance)
    scores = outputs.write(out, plan, read, restored, outputs.conditions(plan, model, loaded.sha256))
    for line in _lines(scores):
        terminal.echo(line)
    terminal.echo(f"restore: {len(read.names):,} inputs, {task}, are in {out} (strip.png shows them)")


def _lines(scores: dict[str, Any]) -> list[str]:
    """Format a line for each kind of scored picture."""
    return [
        f"{name}: PSNR {each['psnr']:.2f} dB" + ("" if each["ssim"] is None else f", SSIM {each['ssim']:.3f}")
        for name, each in scores.items()
    ]
