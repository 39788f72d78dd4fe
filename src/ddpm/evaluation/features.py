"""The extractor of an evaluation and the reference statistics of real images, written to a folder."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common.progress import progress
from ddpm.data import prepared
from ddpm.evaluation import extractor_store, reference
from ddpm.metrics import classifier, floors, kernels
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.inception_score import class_accuracy
from ddpm.metrics.scoring import Features


def build(
    folder: Path,
    data: prepared.PreparedSet,
    device: str,
    *,
    extractor: str,
    weights: str,
    resize: str,
    seed: int,
    **training: Any,
) -> dict[str, Any]:
    """Write extractor, features and reference statistics to `folder`; returns the summary.

    extractor: `classifier` is trained here (training: arguments of `train_classifier`); `efficientnet-lite0` is
    part of an installed package; `inception` and `dinov2` are read from the file `weights`. These resize images by the
    method `resize`. `kernels`, of series, are drawn from the seed.
    """
    match extractor:
        case "inception" | "dinov2":
            made = extractor_store.write_published(folder, extractor, weights, resize, device)
        case "kernels":
            fitted = kernels.fit(data.images[data.train_indices], seed)
            made = extractor_store.write_kernels(folder, fitted)
        case "efficientnet-lite0":
            made = extractor_store.write_efficientnet(folder, resize, device)
        case _:
            model = train_classifier(data, device, seed=seed, **training)
            made = extractor_store.write_classifier(folder, model, device)
    return write_reference(folder, made, data, seed)


def write_reference(folder: Path, extractor: Extractor, data: prepared.PreparedSet, seed: int) -> dict[str, Any]:
    """Extract the features of both splits and of noise, and write them with their statistics; returns the summary."""
    floors.require_enough(len(data.train_indices), len(data.heldout_indices))
    train = extract(extractor, data.images, data.train_indices, folder / reference.TRAIN, "training split")
    heldout = extract(extractor, data.images, data.heldout_indices, folder / reference.HELDOUT, "held-out split")
    noisy = {
        name: extract(extractor, examples, np.arange(len(examples)), folder / f"{name}_features.npy", name)
        for name, examples in _noisy(data, seed).items()
    }
    accuracy, counts = None, None
    if extractor.classes:
        accuracy = class_accuracy(extractor.logits(heldout.features), data.labels[data.heldout_indices])
    if data.classes:
        counts = np.bincount(data.labels[data.train_indices], minlength=len(data.classes))
    summary = reference.write(
        folder,
        extractor,
        train,
        heldout,
        noisy,
        classes=data.classes if extractor.classes else (),
        class_counts=counts,
        data_sha256=data.sha256,
        accuracy=accuracy,
        seed=seed,
        order=None if data.series is None else floors.alternating(len(train)),
    )
    for path in folder.glob("*.spatial.npy"):  # only their moments are needed
        path.unlink()
    return summary


def _noisy(data: prepared.PreparedSet, seed: int) -> dict[str, NDArray[Any]]:
    """Examples that no model should be as bad as: noise, and of series, rows in random order."""
    random = np.random.default_rng(seed)
    if data.series is None:
        return {"noise": floors.noise(floors.NOISE, data.images.shape[1:], random)}
    train = data.images[data.train_indices]
    made = {"noise": floors.independent, "shuffled": floors.shuffled}
    return {name: make(floors.NOISE, train, random) for name, make in made.items()}


def train_classifier(
    data: prepared.PreparedSet, device: str, *, images: int, batch: int, width: int, lr: float, seed: int
) -> classifier.Classifier:
    """Train a classifier on `images` images of the training split.

    Raises ValueError for fewer than two classes.
    """
    if len(data.classes) < 2:
        raise ValueError(
            f"features.extractor = classifier needs at least two classes; the data has {list(data.classes)}. "
            "Put the images of each class into its own folder, or use extractor: auto"
        )
    with progress("features: classifier", images // batch * batch, "images") as shown:
        return classifier.train(
            data.images[data.train_indices],
            data.labels[data.train_indices],
            classes=len(data.classes),
            width=width,
            budget=images,
            batch=batch,
            lr=lr,
            seed=seed,
            device=device,
            advance=shown.advance,
        )


def extract(extractor: Extractor, images: NDArray[Any], indices: NDArray[np.int64], file: Path, name: str) -> Features:
    """Features of the images at `indices`, kept in `file`. name: of this set, for the progress bar."""
    with progress(f"features: {name}", len(indices), "images") as shown:
        return reference.observe(extractor, images, indices, file, advance=shown.advance)
