"""Stage sample: a checkpoint in, images drawn from it out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddpm import checkpoint, files, generate, params
from ddpm.data import prepared
from ddpm.progress import progress
from ddpm.stages import run

MODEL, OUT = Path("out/train/model"), Path("out/sample")


def main() -> None:
    """Draw `sample.count` images and a strip that shows how a few of them came to be."""
    settings = params.load()
    draw(MODEL, OUT, settings.sample)


def draw(model_folder: Path, out: Path, sample: params.Sample) -> None:
    """Draw from any checkpoint into a folder: images.npy, labels.npy, strip.npy, sample.json."""
    device = os.environ.get("DDPM_DEVICE", "auto")
    sampling, seed = sample.sampling, sample.seed
    config = checkpoint.read_config(model_folder)
    known, labels = small_heldout(config, sample.count)
    weak = guide_config(sample.guide)
    generate.check(config, sampling, sample.count, labels, None if known is None else known.shape, weak)
    model = checkpoint.load(model_folder)
    guide = checkpoint.load(Path(sample.guide)) if sample.guide else None
    models = (model, guide) if guide else (model,)
    with progress("sample", sample.count, "images") as shown, generate.evaluations(*models) as seen:
        images = generate.generate(
            model, sample.count, sampling, seed=seed, labels=labels, known=known, guide=guide, batch=sample.batch,
            device=device, advance=shown.advance,
        )  # fmt: skip
    rows = min(max(len(model.classes), 4), 10, sample.count)
    first = {"labels": labels and labels[:rows], "known": None if known is None else known[:rows], "guide": guide}
    strip = generate.strip(model, rows, sample.strip, sampling, seed=seed, device=device, **first)
    labels = labels or generate.default_labels(sample.count, len(model.classes)) or [-1] * sample.count
    with files.fresh_folder(out) as new:
        files.write_npy(new / "images.npy", images)
        files.write_npy(new / "labels.npy", np.array(labels, dtype=np.int64))
        files.write_npy(new / "strip.npy", strip)
        facts = {
            "weights_sha256": model.sha256,
            "guide_sha256": guide.sha256 if guide else "",
            "evaluations": sum(seen) / sample.count,
        }
        files.write_json(new / "sample.json", {**sample.model_dump(exclude={"guide"}), **facts})


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
    return generate.small_images(config, data.images[held], data.labels[held], count)


if __name__ == "__main__":
    run(main)
