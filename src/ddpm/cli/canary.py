"""`ddpm canary`: samples of a version and of the champion from equal seeds, side by side."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options
from ddpm.common import terminal

if TYPE_CHECKING:
    from ddpm.config import params
    from ddpm.registry import Version
    from ddpm.report.canary import Description, Pairs
    from ddpm.sampling.options import Sampling

app = typer.Typer()

MAX_PAIRS = 500


@app.command()
def canary(
    version: Annotated[int, typer.Argument(help="The version to compare.", min=1)],
    count: Annotated[int, typer.Option(help="Number of pairs.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Pair i is drawn from seed + i.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="The page, one HTML file.")] = Path("canary.html"),
    name: Annotated[
        str,
        typer.Option(
            "--name", help="The registered model; by default promote.name of params.yaml.", show_default=False
        ),
    ] = "",
    device: options.Device = "auto",
) -> None:
    """Show samples of a version beside those of the champion.

    Both are drawn from equal seeds, each with its own sampling settings. Section `sample` of params.yaml names the
    weaker model for autoguidance, and gives the settings of a version without any.
    """
    if count > MAX_PAIRS:
        raise ValueError(f"--count {count}: must be at most {MAX_PAIRS}")
    if out.suffix != ".html" or out.is_dir():
        raise ValueError(f"--out {out}: must be a file that ends with .html")

    from ddpm import registry, tracking
    from ddpm.common import files
    from ddpm.config import params
    from ddpm.report import canary as report

    settings = params.load()
    with tracking.friendly_errors():
        found = registry.status(name or settings.promote.name)
        candidate, champion = registry.version(found.name, version), found.champion
        if champion is None:
            raise ValueError(f"{found.name} has no champion to compare with; make one: ddpm promote VERSION --why ...")
        if champion.number == version:
            raise ValueError(f"version {version} of {found.name} is the champion itself; name another (`ddpm status`)")
        folders = [registry.download(f"models:/{found.name}/{each.number}") for each in (champion, candidate)]
    sampling = [_sampling(each, settings.sample) for each in (champion, candidate)]
    pairs, weights = _draw_pairs(folders, sampling, settings.sample.batch, count, seed, device)
    files.write_text(out, report.page(pairs, _description(champion, candidate, sampling, weights, seed, count)))
    terminal.echo(
        f"canary: {count:,} pairs of version {version} and the champion, version {champion.number}, are in {out}"
    )


def _sampling(version: "Version", sample: "params.Sample") -> tuple["Sampling", Path | None]:
    """Return the version's own settings and guide, or those of params.yaml for a version without settings."""
    from ddpm.cli import settings
    from ddpm.common import files
    from ddpm.model import checkpoint
    from ddpm.sampling.options import GUIDE

    weak = Path(sample.guide) if sample.guide else None
    if not version.sampling:
        return sample.sampling, weak
    needed = version.sampling.get(GUIDE)
    weights = weak / checkpoint.WEIGHTS if weak and needed else None
    if weights is None or not weights.is_file() or files.sha256_file(weights) != needed:
        weak = None
    model = f"models:/{version.name}/{version.number}"
    found, notes = settings.sampling(model, version.sampling, {}, 0, guide=weak is not None, named="sample.guide")
    settings.print_notes(notes)
    return found, weak


def _draw_pairs(
    folders: list[Path], settings: "list[tuple[Sampling, Path | None]]", batch: int, count: int, seed: int, device: str
) -> tuple["Pairs", list[str]]:
    """Draw the pairs; return them and the SHA-256 of the weights of champion and candidate.

    Raises ValueError for models that cannot be sampled alike.
    """
    import numpy as np

    from ddpm.common.progress import progress
    from ddpm.model import alike, checkpoint
    from ddpm.report.canary import Pairs
    from ddpm.sampling import generate
    from ddpm.sampling.to_folder import guide_config, small_heldout

    configs = [checkpoint.read_config(folder) for folder in folders]
    different = alike.differences(*configs)
    if different:
        raise ValueError(f"champion and candidate cannot be sampled alike: {'; '.join(different)}")
    known, labels = small_heldout(configs[0], count)
    for config, (sampling, guide) in zip(configs, settings, strict=True):
        weak = guide_config(str(guide)) if guide else None
        generate.check(config, sampling, count, labels, None if known is None else known.shape, weak)
    models, classes = [checkpoint.load(folder) for folder in folders], configs[0].image.classes
    every = labels or generate.default_labels(count, len(classes)) or [generate.NO_LABEL] * count
    with progress("canary", 2 * count, "images") as shown:
        champion, candidate = (
            generate.generate(
                model, count, sampling, seed=seed, known=known,
                labels=generate.renumbered(every, classes, model.classes) if classes else None,
                guide=checkpoint.load(guide) if guide else None, batch=batch, device=device, advance=shown.advance,
            )
            for model, (sampling, guide) in zip(models, settings, strict=True)
        )  # fmt: skip
    return Pairs(champion, candidate, np.array(every), classes), [model.sha256 for model in models]


def _description(
    champion: "Version", candidate: "Version", settings: "list[tuple[Sampling, Path | None]]", weights: list[str],
    seed: int, count: int,
) -> "Description":  # fmt: skip
    """Build the text around the pictures."""
    from ddpm.report.canary import Description

    first, second = ({**asdict(sampling), "guide": guide or "none"} for sampling, guide in settings)
    options: dict[str, Any] = {"seeds": f"{seed} to {seed + count - 1}"}
    for key, value in first.items():
        options[key] = value if second[key] == value else f"{value} (champion), {second[key]} (candidate)"
    hashes = {"champion's weights SHA-256": weights[0], "candidate's weights SHA-256": weights[1]}
    name, model = shlex.quote(candidate.name), shlex.quote(f"models:/{candidate.name}/{candidate.number}")
    return Description(
        name=candidate.name,
        champion=champion.number,
        candidate=candidate.number,
        verdict=candidate.tags.get("ddpm.verdict", ""),
        reasons=candidate.tags.get("ddpm.reasons", ""),
        conditions={key.replace("_", " "): str(value) for key, value in options.items()} | hashes,
        commands=[
            ("Promote it", f'ddpm promote {candidate.number} --name {name} --why "..."'),
            ("Show its lineage", f"ddpm lineage {model}"),
            ("Draw more samples", f"ddpm sample --model {model}"),
        ],
    )
