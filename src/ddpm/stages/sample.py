"""Stage sample: a checkpoint in, images drawn from it out."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddpm.common import files
from ddpm.common.progress import progress
from ddpm.config import params
from ddpm.data import prepared
from ddpm.metrics.shards import WHOLE, Shard
from ddpm.model import checkpoint
from ddpm.runtime import torchrun
from ddpm.runtime.process_group import process_group
from ddpm.sampling import generate
from ddpm.stages import run

MODEL, OUT = Path("out/train/model"), Path("out/sample")


def main() -> None:
    """Draw `sample.count` images and a strip that shows how a few of them came to be; shared work under torchrun."""
    settings = params.load()
    with process_group() as (rank, count, gather):
        draw(MODEL, OUT, settings.sample, Shard(rank, count, gather))


def processes() -> int:
    """As many as train."""
    return torchrun.processes(params.load().train.processes, os.environ.get("DDPM_DEVICE", "auto"))


def draw(
    model_folder: Path, out: Path, sample: params.Sample, shard: Shard = WHOLE, classes: Sequence[str] | None = None
) -> None:
    """Draw from any checkpoint into a folder: images.npy, labels.npy, strip.npy, sample.json.

    classes: the order in which classes take turns and are numbered in labels.npy; by default the model's own.
    Several processes deal out the batches, so that each holds the images it would hold in one.
    """
    device = os.environ.get("DDPM_DEVICE", "auto")
    sampling, seed = sample.sampling, sample.seed
    config = checkpoint.read_config(model_folder)
    known, labels = small_heldout(config, sample.count)
    weak = guide_config(sample.guide)
    generate.check(config, sampling, sample.count, labels, None if known is None else known.shape, weak)
    model = checkpoint.load(model_folder)
    guide = checkpoint.load(Path(sample.guide)) if sample.guide else None
    models = (model, guide) if guide else (model,)
    own, order = model.classes, model.classes if classes is None else classes
    every = labels or generate.renumbered(generate.default_labels(sample.count, len(own)), order, own) or None
    with drawing(sample.count, shard) as advance, generate.evaluations(*models) as seen:

        def part(indices: range) -> generate.Images:
            where = slice(indices.start, indices.stop)
            return generate.generate(
                model, len(indices), sampling, seed=seed + indices.start, labels=every and every[where],
                known=None if known is None else known[where], guide=guide, batch=sample.batch, device=device,
                advance=advance,
            )  # fmt: skip

        parts = [range(i, min(i + sample.batch, sample.count)) for i in range(0, sample.count, sample.batch)]
        images = shard.map(part, parts)
    evaluations = shard.total(sum(seen), len(parts))
    if shard.rank > 0:
        return
    rows = min(max(len(model.classes), 4), 10, sample.count)
    first = {"labels": every and every[:rows], "known": None if known is None else known[:rows], "guide": guide}
    strip = generate.strip(model, rows, sample.strip, sampling, seed=seed, device=device, **first)
    with files.fresh_folder(out) as new:
        files.write_npy(new / "images.npy", images)
        numbers = generate.renumbered(every or [generate.NO_LABEL] * sample.count, own, order)
        files.write_npy(new / "labels.npy", np.array(numbers, dtype=np.int64))
        files.write_npy(new / "strip.npy", strip)
        facts = {
            "weights_sha256": model.sha256,
            "guide_sha256": guide.sha256 if guide else "",
            "evaluations": evaluations / sample.count,
        }
        files.write_json(new / "sample.json", {**sample.model_dump(exclude={"guide"}), **facts})


@contextlib.contextmanager
def drawing(count: int, shard: Shard) -> Iterator[Callable[[int], None] | None]:
    """Shows the progress of all processes by that of the first, as the others draw as fast."""
    if shard.rank > 0:
        yield None
        return
    with progress("sample", count, "images") as shown:
        yield lambda images: shown.advance(min(images * shard.count, count - shown.done))


def guide_config(guide: str) -> dict[str, Any] | None:
    """The config of `sample.guide`, None for "". Raises FileNotFoundError that names the parameter."""
    if not guide:
        return None
    try:
        return checkpoint.read_config(Path(guide))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"sample.guide = {guide!r} is no checkpoint folder. Keep one of a training for fewer images "
            '(a copy of its out/train/model), or use guide: "".'
        ) from error


def small_heldout(config: Mapping[str, Any], count: int) -> tuple[generate.Images | None, list[int] | None]:
    """The held-out images in turn, shrunk, and their labels, for a model of super-resolution; no other needs any."""
    if config["diffusion"]["condition"] == "none":
        return None, None
    data = prepared.load()
    held = data.heldout_indices
    known, labels = generate.small_images(config, data.images[held], data.labels[held], count)
    return known, labels and generate.renumbered(labels, data.classes, config["image"]["classes"])


if __name__ == "__main__":
    run(main, shared=True, processes=processes)
