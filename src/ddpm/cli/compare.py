"""`ddpm compare`: models side by side, drawn from equal seeds into one page, with their scores."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ddpm.cli import options
from ddpm.common import terminal

if TYPE_CHECKING:
    from ddpm.config import params
    from ddpm.registry import Version
    from ddpm.report.model_comparison import Drawn
    from ddpm.sampling.options import Sampling

app = typer.Typer()

LARGEST = 500  # seeds that a page can show
METRICS = Path("out/evaluate/metrics.json")


@dataclass(frozen=True)
class Compared:
    """A model to draw: its name on the page, its checkpoint folder, its settings with a guide, and its evaluation."""

    name: str
    folder: Path
    sampling: "Sampling"
    guide: Path | None
    metrics: Mapping[str, Any] | None


@app.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="Two or more: models:/NAME@ALIAS, models:/NAME/VERSION, a version number, or a folder."),
    ],
    count: Annotated[int, typer.Option(help="Images of each model.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Image i is drawn from seed + i.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="The page: one HTML file.")] = Path("compare.html"),
    device: options.Device = "auto",
) -> None:
    """Draw any number of versions or checkpoints from equal seeds into one page, with their scores and intervals.

    A version is drawn by the settings it was evaluated with, a folder by `sample` of params.yaml. The first one is the
    reference. A number is a version of the model promote.name of params.yaml.
    """
    require_page(out, count)
    if len(models) < 2:
        raise ValueError(f"there is nothing to compare {models[0]} with; name two models or more")

    from ddpm import tracking
    from ddpm.config import params

    settings = params.load()
    with tracking.friendly_errors():
        found = [_named(model, settings) for model in models]
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise ValueError(f"a model is named twice: {', '.join(names)}")
    commands = [
        (f"Draw more of {each.name}", f"ddpm sample --model {shlex.quote(model)}")
        for each, model in zip(found, models, strict=True)
    ]
    write_page(out, f"{names[0]} beside {', '.join(names[1:])}", ("", ""), found, commands,
               count=count, seed=seed, batch=settings.sample.batch, device=device)  # fmt: skip
    terminal.echo(f"compare: {count:,} images of each of {', '.join(names)} are in {out}")


def require_page(out: Path, count: int) -> None:
    """Raise ValueError for a page of too many images, or of another kind of file."""
    if count > LARGEST:
        raise ValueError(f"--count {count}: a page of more than {LARGEST} pairs cannot be looked at")
    if out.suffix != ".html" or out.is_dir():
        raise ValueError(f"--out {out}: name a file that ends with .html")


def of_version(version: "Version", sample: "params.Sample", name: str) -> Compared:
    """A version by its own settings with its guide, or by those of params.yaml if it has none."""
    from ddpm import registry
    from ddpm.cli import settings
    from ddpm.common import files
    from ddpm.model import checkpoint
    from ddpm.sampling.options import GUIDE

    model = f"models:/{version.name}/{version.number}"
    folder, metrics = registry.download(model), version.evidence or None
    weak = Path(sample.guide) if sample.guide else None
    if not version.sampling:
        return Compared(name, folder, sample.sampling, weak, metrics)
    needed = version.sampling.get(GUIDE)
    weights = weak / checkpoint.WEIGHTS if weak and needed else None
    if weights is None or not weights.is_file() or files.sha256_file(weights) != needed:
        weak = None
    found, notes = settings.sampling(model, version.sampling, {}, 0, guide=weak is not None, named="sample.guide")
    settings.say(notes)
    return Compared(name, folder, found, weak, metrics)


def write_page(
    out: Path, title: str, paragraph: tuple[str, str], models: Sequence[Compared], commands: list[tuple[str, str]],
    *, count: int, seed: int, batch: int, device: str,
) -> None:  # fmt: skip
    """Draw the models and write the page. Raises ValueError for models that equal seeds cannot pair."""
    from ddpm.common import files
    from ddpm.report import model_comparison

    drawn, weights = _drawn(models, batch, count, seed, device)
    metrics = [
        each.metrics if each.metrics and "conditions" in each.metrics else None  # a tag that anybody can write
        for each in models
    ]
    conditions = _conditions(models, weights, seed, count)
    context = model_comparison.Context(title, paragraph, metrics, conditions, commands)
    files.write_text(out, model_comparison.page(drawn, context))


def _named(model: str, settings: "params.Params") -> Compared:
    """The model behind an argument."""
    from ddpm import registry

    if model.isdecimal():
        model = f"models:/{settings.promote.name}/{model}"
    if model.startswith("models:/"):
        version = registry.resolve(model)
        own = version.name == settings.promote.name
        return of_version(version, settings.sample, f"{'version' if own else version.name} {version.number}")
    folder, guide = registry.download(model), settings.sample.guide
    return Compared(model, folder, settings.sample.sampling, Path(guide) if guide else None, _evaluation(folder))


def _evaluation(folder: Path) -> Mapping[str, Any] | None:
    """The scores under out/, if they are of the weights in `folder`."""
    from ddpm.common import files
    from ddpm.model import checkpoint

    if not METRICS.is_file():
        return None
    metrics: Mapping[str, Any] = files.read_json(METRICS)
    own = metrics["conditions"].get("weights_sha256") == files.sha256_file(folder / checkpoint.WEIGHTS)
    return metrics if own else None


def _drawn(
    models: Sequence[Compared], batch: int, count: int, seed: int, device: str
) -> tuple["Drawn", list[str]]:  # fmt: skip
    """The images, and the SHA-256 of each model's weights. Raises ValueError: not to be drawn alike."""
    import numpy as np

    from ddpm.common.progress import progress
    from ddpm.model import alike, checkpoint
    from ddpm.report.model_comparison import Drawn
    from ddpm.sampling import generate
    from ddpm.sampling.to_folder import guide_config, small_heldout

    configs = [checkpoint.read_config(each.folder) for each in models]
    for each, config in zip(models[1:], configs[1:], strict=True):
        if different := alike.differences(configs[0], config):
            raise ValueError(f"{models[0].name} and {each.name} cannot be drawn alike: {'; '.join(different)}")
    known, labels = small_heldout(configs[0], count)
    for each, config in zip(models, configs, strict=True):
        weak = guide_config(str(each.guide)) if each.guide else None
        generate.check(config, each.sampling, count, labels, None if known is None else known.shape, weak)
    classes = configs[0].image.classes
    every = labels or generate.default_labels(count, len(classes)) or [generate.NO_LABEL] * count
    images, weights = [], []
    with progress("drawing", len(models) * count, "images") as shown:
        for each in models:
            model = checkpoint.load(each.folder)
            images.append(
                generate.generate(
                    model, count, each.sampling, seed=seed, known=known,
                    labels=generate.renumbered(every, classes, model.classes) if classes else None,
                    guide=checkpoint.load(each.guide) if each.guide else None,
                    batch=batch, device=device, advance=shown.advance,
                )
            )  # fmt: skip
            weights.append(model.sha256)
    return Drawn([each.name for each in models], images, np.array(every), classes), weights


def _conditions(models: Sequence[Compared], weights: Sequence[str], seed: int, count: int) -> dict[str, str]:
    """Settings of the drawing, each model's own where they differ, and the hashes of the weights."""
    found = {"seeds": f"{seed} to {seed + count - 1}"}
    settings = [{**asdict(each.sampling), "guide": each.guide or "none"} for each in models]
    for key in settings[0]:
        values = [str(each[key]) for each in settings]
        by_model = ", ".join(f"{value} ({each.name})" for value, each in zip(values, models, strict=True))
        found[key.replace("_", " ")] = values[0] if len(set(values)) == 1 else by_model
    return found | {f"{each.name}'s weights SHA-256": hashed for each, hashed in zip(models, weights, strict=True)}
