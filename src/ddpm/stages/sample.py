"""Stage sample: a checkpoint in, images drawn from it out."""

import os
from pathlib import Path

import numpy as np

from ddpm import checkpoint, files, generate, params
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
    generate.check(config, sampling, sample.count)
    model = checkpoint.load(model_folder)
    with progress("sample", sample.count, "images") as shown:
        images = generate.generate(
            model, sample.count, sampling, seed=seed, batch=sample.batch, device=device, advance=shown.advance
        )
    rows = min(max(len(model.classes), 4), 10, sample.count)
    strip = generate.strip(model, rows, sample.strip, sampling, seed=seed, device=device)
    labels = generate.default_labels(sample.count, len(model.classes)) or [-1] * sample.count
    with files.fresh_folder(out) as new:
        files.write_npy(new / "images.npy", images)
        files.write_npy(new / "labels.npy", np.array(labels, dtype=np.int64))
        files.write_npy(new / "strip.npy", strip)
        files.write_json(new / "sample.json", {**sample.model_dump(), "weights_sha256": model.sha256})


if __name__ == "__main__":
    run(main)
