"""Stage features: the extractor that images are compared with, and what real images look like to it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm import files, params, reference, runtime
from ddpm.data import prepared
from ddpm.metrics import classifier
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.scores import class_accuracy
from ddpm.progress import progress
from ddpm.stages import run

OUT = reference.FOLDER


def main() -> None:
    """Get the extractor, look at all prepared images with it, and write out/features."""
    settings = params.load()
    data = prepared.load()
    device = str(runtime.device(os.environ.get("DDPM_DEVICE", "auto")))
    runtime.deterministic()
    with files.fresh_folder(OUT) as folder:
        summary = build(folder, settings.features, data, device)
    accuracy = summary["heldout_accuracy"]
    known = f", held-out accuracy {accuracy:.2%}" if accuracy is not None else ""
    floors = summary["floors"]
    print(
        f"features: {summary['extractor']}{known}; FID of real images: {floors['fid_floor']:.3g} between training and "
        f"held-out split, {floors['fid_halves']:.3g} between halves of the training split"
    )


def build(folder: Path, settings: params.Features, data: prepared.PreparedSet, device: str) -> dict[str, Any]:
    """Write extractor, features and reference statistics into `folder`; returns the summary."""
    if settings.extractor == "inception":
        extractor = reference.write_inception(folder, settings.weights, settings.resize, device)
    elif settings.extractor == "own":
        extractor = reference.write_own(folder, settings.weights, settings.resize, device)
    else:
        extractor = reference.write_classifier(folder, train_classifier(settings, data, device), device)
    train = look(extractor, data, data.train_indices, "features: training split")
    heldout = look(extractor, data, data.heldout_indices, "features: held-out split")
    accuracy = None
    if extractor.classes:
        accuracy = class_accuracy(extractor.logits(heldout), data.labels[data.heldout_indices])
    return reference.write(
        folder,
        extractor,
        train,
        heldout,
        classes=data.classes if extractor.classes else (),
        data_sha256=data.sha256,
        accuracy=accuracy,
        seed=settings.seed,
    )


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


def look(
    extractor: Extractor, data: prepared.PreparedSet, indices: NDArray[np.int64], label: str
) -> NDArray[np.float32]:
    """Features of the prepared images at `indices`."""
    with progress(label, len(indices), "images") as shown:
        return extractor(data.images[indices], shown.advance)


if __name__ == "__main__":
    run(main)
