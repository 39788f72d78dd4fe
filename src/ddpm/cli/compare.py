"""`ddpm compare`: samples of several models from equal seeds, side by side, with their scores."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options
from ddpm.common import terminal
from ddpm.evaluation.score_record import ScoreRecord

if TYPE_CHECKING:
    from ddpm.config import params
    from ddpm.registry import Version
    from ddpm.report.model_comparison import Drawn
    from ddpm.sampling.options import Sampling

app = typer.Typer()

MAX_IMAGES = 500
METRICS = Path("out/evaluate/metrics.json")


@dataclass(frozen=True)
class Compared:
    """A model to sample: its name on the page, checkpoint folder, settings, guide, and scores if it was evaluated."""

    name: str
    folder: Path
    sampling: "Sampling"
    guide: Path | None
    record: ScoreRecord | None


@app.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="Two or more of models:/NAME@ALIAS, models:/NAME/VERSION, a version number, or a folder."),
    ],
    count: Annotated[int, typer.Option(help="Number of images per model.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Image i is generated from seed + i.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("compare.html"),
    device: options.DeviceOption = "auto",
) -> None:
    """Show samples and scores of versions and checkpoints side by side.

    All use the same seeds: a version with the settings of its evaluation, a folder with section `sample` of
    params.yaml. The first model is the reference. A number is a version of the model promote.name of params.yaml.
    """
    require_page(out, count)
    if len(models) < 2:
        raise ValueError(f"there is nothing to compare {models[0]} with; name two or more models")

    from ddpm import tracking
    from ddpm.config import params

    settings = params.load()
    with tracking.friendly_errors():
        found = [_resolve(model, settings) for model in models]
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise ValueError(f"a model is named twice: {', '.join(names)}")
    commands = [
        (f"Draw more samples of {each.name}", f"ddpm sample --model {shlex.quote(model)}")
        for each, model in zip(found, models, strict=True)
    ]
    write_page(out, f"{names[0]} compared with {', '.join(names[1:])}", ("", ""), found, commands,
               count=count, seed=seed, batch=settings.sample.batch, device=device)  # fmt: skip
    terminal.echo(f"compare: {count:,} images of each of {', '.join(names)} are in {out}")


def require_page(out: Path, count: int) -> None:
    """Check the options --out and --count. Raises ValueError."""
    if count > MAX_IMAGES:
        raise ValueError(f"--count {count}: must be at most {MAX_IMAGES}")
    if out.suffix != ".html" or out.is_dir():
        raise ValueError(f"--out {out}: must be a file that ends with .html")


def of_version(version: "Version", sample: "params.Sample", name: str) -> Compared:
    """Download a version; give it its own settings and guide, or those of params.yaml if it has no settings."""
    from ddpm import registry
    from ddpm.cli import settings
    from ddpm.common import files
    from ddpm.model import checkpoint
    from ddpm.sampling.options import GUIDE
    from ddpm.sampling.settings import sampling

    model = f"models:/{version.name}/{version.number}"
    folder, record = registry.download(model), _record(version.evidence)
    weak = Path(sample.guide) if sample.guide else None
    if not version.sampling:
        return Compared(name, folder, sample.sampling, weak, record)
    needed = version.sampling.get(GUIDE)
    weights = weak / checkpoint.WEIGHTS if weak and needed else None
    if weights is None or not weights.is_file() or files.sha256_file(weights) != needed:
        weak = None
    found, notes = sampling(model, version.sampling, {}, 0, guide=weak is not None, named="sample.guide")
    settings.print_notes(notes)
    return Compared(name, folder, found, weak, record)


def write_page(
    out: Path, title: str, paragraph: tuple[str, str], models: Sequence[Compared], commands: list[tuple[str, str]],
    *, count: int, seed: int, batch: int, device: str,
) -> None:  # fmt: skip
    """Sample the models and write the page. Raises ValueError for models that cannot be compared."""
    from ddpm.common import files
    from ddpm.report import model_comparison

    drawn, weights = draw(models, batch, count, seed, device)
    records = [each.record for each in models]
    conditions = conditions_of(models, weights, seed, count)
    context = model_comparison.Context(title, paragraph, records, conditions, commands)
    files.write_text(out, model_comparison.page(drawn, context))


def _resolve(model: str, settings: "params.Params") -> Compared:
    """Find the model that an argument names. Raises RegistryError."""
    from ddpm import registry

    model = registry.address(model, settings.promote.name)
    if model.startswith("models:/"):
        version = registry.resolve(model)
        own = version.name == settings.promote.name
        return of_version(version, settings.sample, f"{'version' if own else version.name} {version.number}")
    folder, guide = registry.download(model), settings.sample.guide
    return Compared(model, folder, settings.sample.sampling, Path(guide) if guide else None, _evaluation(folder))


def _record(metrics: Mapping[str, Any]) -> ScoreRecord | None:
    """Read scores from a version's tag, which is untrusted; None without conditions."""
    return ScoreRecord.from_json(metrics) if "conditions" in metrics else None


def _evaluation(folder: Path) -> ScoreRecord | None:
    """Read the scores under out/ if they are of the weights in `folder`."""
    from ddpm.common import files
    from ddpm.model import checkpoint

    if not METRICS.is_file():
        return None
    record = ScoreRecord.from_json(files.read_json(METRICS))
    own = record.conditions.get("weights_sha256") == files.sha256_file(folder / checkpoint.WEIGHTS)
    return record if own else None


def draw(
    models: Sequence[Compared], batch: int, count: int, seed: int, device: str
) -> tuple["Drawn", list[str]]:  # fmt: skip
    """Draw the images; return them and the SHA-256 of each model's weights.

    Raises ValueError for models that do not generate the same kind of image.
    """
    import numpy as np

    from ddpm.common.progress import progress
    from ddpm.imaging.paths import as_pictures
    from ddpm.model import alike, checkpoint
    from ddpm.report.model_comparison import Drawn
    from ddpm.sampling import generate
    from ddpm.sampling.to_folder import guide_config, small_heldout

    configs = [checkpoint.read_config(each.folder) for each in models]
    for each, config in zip(models[1:], configs[1:], strict=True):
        if different := alike.differences(configs[0], config):
            raise ValueError(f"{models[0].name} and {each.name} cannot be compared: {'; '.join(different)}")
    low_res, labels = small_heldout(configs[0], count)
    for each, config in zip(models, configs, strict=True):
        weak = guide_config(str(each.guide)) if each.guide else None
        generate.check(config, each.sampling, count, labels, None if low_res is None else low_res.shape, weak)
    classes = configs[0].image.classes
    every = labels or generate.default_labels(count, len(classes)) or [generate.NO_LABEL] * count
    images, weights = [], []
    with progress("compare", len(models) * count, "images") as shown:
        for each in models:
            model = checkpoint.load(each.folder)
            images.append(
                generate.generate(
                    model, count, each.sampling, seed=seed, low_res=low_res,
                    labels=generate.renumbered(every, classes, model.classes) if classes else None,
                    guide=checkpoint.load(each.guide) if each.guide else None,
                    batch=batch, device=device, advance=shown.advance,
                )
            )  # fmt: skip
            weights.append(model.sha256)
    pictures = list(as_pictures(np.stack(images)))  # of one scale
    return Drawn([each.name for each in models], pictures, np.array(every), classes), weights


def conditions_of(models: Sequence[Compared], weights: Sequence[str], seed: int, count: int) -> dict[str, str]:
    """List seeds, sampling settings (by model where they differ), and hashes of the weights."""
    found = {"seeds": f"{seed} to {seed + count - 1}"}
    settings = [{**asdict(each.sampling), "guide": each.guide or "none"} for each in models]
    for key in settings[0]:
        values = [str(each[key]) for each in settings]
        by_model = ", ".join(f"{value} ({each.name})" for value, each in zip(values, models, strict=True))
        found[key.replace("_", " ")] = values[0] if len(set(values)) == 1 else by_model
    return found | {f"{each.name}'s weights SHA-256": hashed for each, hashed in zip(models, weights, strict=True)}
