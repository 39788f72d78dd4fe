"""Stage features: the extractor that images are compared with, and what real images look like to it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files, terminal
from ddpm.common.progress import progress
from ddpm.config import params
from ddpm.data import prepared
from ddpm.evaluation import extractor_store, reference
from ddpm.metrics import classifier, floors
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.quality import Seen
from ddpm.metrics.scores import class_accuracy
from ddpm.runtime.device import choose_device, deterministic
from ddpm.stages import run

OUT = reference.FOLDER


def main() -> None:
    """Get the extractor, look at all prepared images with it, and write out/features."""
    settings = params.load()
    data = prepared.load()
    device = str(choose_device(os.environ.get("DDPM_DEVICE", "auto")))
    deterministic()
    with files.fresh_folder(OUT) as folder:
        summary = build(folder, settings.features, data, device)
    accuracy = summary["heldout_accuracy"]
    known = f", held-out accuracy {accuracy:.2%}" if accuracy is not None else ""
    fid = summary["floors"]["fid"]
    terminal.echo(
        f"features: {summary['extractor']}{known}; FID of real images: {fid['heldout']:.3g} between training and "
        f"held-out split, {fid['halves']:.3g} between halves of the training split; of noise: {fid['noise']:.3g}"
    )


def build(folder: Path, settings: params.Features, data: prepared.PreparedSet, device: str) -> dict[str, Any]:
    """Write extractor, features and reference statistics into `folder`; returns the summary."""
    if settings.extractor == "inception":
        extractor = extractor_store.write_inception(folder, settings.weights, settings.resize, device)
    elif settings.extractor == "own":
        extractor = extractor_store.write_own(folder, settings.weights, settings.resize, device)
    else:
        extractor = extractor_store.write_classifier(folder, train_classifier(settings, data, device), device)
    floors.require_enough(len(data.train_indices), len(data.heldout_indices))
    train = look(extractor, data.images, data.train_indices, folder / reference.TRAIN, "training split")
    heldout = look(extractor, data.images, data.heldout_indices, folder / reference.HELDOUT, "held-out split")
    noise = floors.noise(floors.NOISE, data.images.shape[1:], np.random.default_rng(settings.seed))
    noisy = look(extractor, noise, np.arange(len(noise)), folder / reference.NOISE, "noise")
    accuracy = None
    if extractor.classes:
        accuracy = class_accuracy(extractor.logits(heldout.features), data.labels[data.heldout_indices])
    summary = reference.write(
        folder,
        extractor,
        train,
        heldout,
        noisy,
        classes=data.classes if extractor.classes else (),
        class_counts=np.bincount(data.labels[data.train_indices], minlength=len(data.classes))
        if data.classes
        else None,
        data_sha256=data.sha256,
        accuracy=accuracy,
        seed=settings.seed,
    )
    for path in folder.glob("*.spatial.npy"):  # of these only the moments are needed
        path.unlink()
    return summary


def train_classifier(settings: params.Features, data: prepared.PreparedSet, device: str) -> classifier.Classifier:
    """Train on the training split. Raises ValueError when there is nothing to tell apart."""
    if len(data.classes) < 2:
        raise ValueError(
            f"features.extractor = classifier needs two classes at least; the data has {list(data.classes)}. "
            "Put the images of each class in a folder of its own, or use extractor: inception"
        )
    with progress("features: classifier", settings.images // settings.batch * settings.batch, "images") as shown:
        return classifier.train(
            data.images[data.train_indices],
            data.labels[data.train_indices],
            classes=len(data.classes),
            width=settings.width,
            budget=settings.images,
            batch=settings.batch,
            lr=settings.lr,
            seed=settings.seed,
            device=device,
            advance=shown.advance,
        )


def look(extractor: Extractor, images: NDArray[np.uint8], indices: NDArray[np.int64], file: Path, what: str) -> Seen:
    """Features of the images at `indices`, kept in `file`."""
    with progress(f"features: {what}", len(indices), "images") as shown:
        return reference.observe(extractor, images, indices, file, advance=shown.advance)


if __name__ == "__main__":
    run(main)
