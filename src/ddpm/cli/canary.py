"""`ddpm canary`: samples of a version and of the champion from equal seeds, side by side."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ddpm.cli import compare, options
from ddpm.common import terminal

app = typer.Typer()


@app.command()
def canary(
    version: Annotated[int, typer.Argument(help="The version to compare.", min=1)],
    count: Annotated[int, typer.Option(help="Number of pairs.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Pair i is generated from seed + i.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="The page, one HTML file.")] = Path("canary.html"),
    name: Annotated[
        str,
        typer.Option(
            "--name", help="The registered model; by default promote.name of params.yaml.", show_default=False
        ),
    ] = "",
    device: options.DeviceOption = "auto",
) -> None:
    """Show samples of a version beside those of the champion.

    Both are drawn from equal seeds, each with its own sampling settings. Section `sample` of params.yaml names the
    weaker model for autoguidance, and gives the settings of a version without any. `ddpm compare` does the same for
    any number of models.
    """
    compare.require_page(out, count)

    from ddpm import registry, tracking
    from ddpm.config import params

    settings = params.load()
    with tracking.friendly_errors():
        found = registry.status(name or settings.promote.name)
        candidate, champion = registry.version(found.name, version), found.champion
        if champion is None:
            raise ValueError(f"{found.name} has no champion to compare with; make one: ddpm promote VERSION --why ...")
        if champion.number == version:
            raise ValueError(f"version {version} of {found.name} is the champion itself; name another (`ddpm status`)")
        models = [
            compare.of_version(champion, settings.sample, "champion"),
            compare.of_version(candidate, settings.sample, "candidate"),
        ]
    verdict, reasons = (candidate.tags.get(tag, "") for tag in ("ddpm.verdict", "ddpm.reasons"))
    paragraph = (verdict, reasons) if verdict else ("", f"The gate has not judged version {version}.")
    title = f"{found.name}: version {version} compared with the champion, version {champion.number}"
    quoted, model = shlex.quote(found.name), shlex.quote(f"models:/{found.name}/{version}")
    commands = [
        ("Promote it", f'ddpm promote {version} --name {quoted} --why "..."'),
        ("Show its lineage", f"ddpm lineage {model}"),
        ("Draw more samples", f"ddpm sample --model {model}"),
    ]
    compare.write_page(
        out, title, paragraph, models, commands, count=count, seed=seed, batch=settings.sample.batch, device=device
    )
    terminal.echo(
        f"canary: {count:,} pairs of version {version} and the champion, version {champion.number}, are in {out}"
    )
