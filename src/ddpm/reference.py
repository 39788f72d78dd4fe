"""What the features stage leaves for everything that scores images: the extractor and the real images' features."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpm import files
from ddpm.metrics import classifier
from ddpm.metrics.evaluate import Reference, real_scores
from ddpm.metrics.extractors import (
    INCEPTION_FILE,
    INCEPTION_SHA256,
    INCEPTION_URL,
    ClassifierExtractor,
    Extractor,
    ExtractorError,
    InceptionExtractor,
)
from ddpm.metrics.scores import Moments, moments

FOLDER = Path("out/features")
EXTRACTOR, WEIGHTS = "extractor.json", "extractor.safetensors"
REFERENCE, SUMMARY = "reference.safetensors", "features.json"
TRAIN, HELDOUT = "train_features.npy", "heldout_features.npy"


@dataclass(frozen=True)
class Floors:
    """Distances of real images: between halves of `train` images, and from all of them to `heldout` others."""

    halves: float
    split: float
    train: int
    heldout: int

    def at(self, first: int, second: int) -> float:
        """The distance expected from `first` of the training images to `second` unseen ones like them.

        Finite counts add c (1/n1 + 1/n2) to a distance, to first order (Chong & Forsyth 2020); the halves give c. What
        the held-out images are farther away than that, no count takes away: the extractor has learnt from the others.
        """
        per_image = self.halves * self.train / 4
        unseen = max(0.0, self.split - per_image * (1 / self.train + 1 / self.heldout))
        return unseen + per_image * (1 / first + 1 / second)


def write_classifier(folder: Path, model: classifier.Classifier, device: str) -> Extractor:
    """Save a trained classifier and return it as an extractor, named by the hash of the file."""
    files.write_tensors(folder / WEIGHTS, model.state_dict())
    extractor = ClassifierExtractor(model, files.sha256_file(folder / WEIGHTS), device)
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, **model.config}
    files.write_json(folder / EXTRACTOR, config)
    return extractor


def write_inception(folder: Path, weights: str, device: str) -> Extractor:
    """Check the weights file at `weights` and save where it is. Raises ExtractorError when it is missing or wrong."""
    extractor = _inception(weights, device)
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, "file": weights}
    files.write_json(folder / EXTRACTOR, config)
    return extractor


def write(
    folder: Path,
    extractor: Extractor,
    train: np.ndarray[Any, np.dtype[np.float32]],
    heldout: np.ndarray[Any, np.dtype[np.float32]],
    *,
    classes: tuple[str, ...],
    data_sha256: str,
    accuracy: float | None,
    seed: int,
) -> dict[str, Any]:
    """Save features, their statistics and the scores of real images; returns the summary.

    Raises TooFewImagesError when a split is too small to be scored.
    """
    floors = real_scores(train, heldout, seed)
    statistics = moments(train)
    files.write_npy(folder / TRAIN, train)
    files.write_npy(folder / HELDOUT, heldout)
    _write_moments(folder / REFERENCE, statistics)
    summary = {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        # The held-out features are in the name, too: floors and the memorisation baseline come from them.
        "reference_sha256": files.sha256_json(
            [files.sha256_file(folder / name) for name in (REFERENCE, TRAIN, HELDOUT)] + [list(classes)]
        ),
        "reference_count": statistics.count,
        "heldout_count": len(heldout),
        "data_sha256": data_sha256,
        "heldout_accuracy": accuracy,
        "floors": floors,
        "classes": list(classes),
    }
    files.write_json(folder / SUMMARY, summary)
    return summary


def load(folder: Path = FOLDER, device: str = "cpu") -> tuple[Extractor, Reference]:
    """Open what the features stage wrote. Raises FileNotFoundError or ValueError that say what to do."""
    if not (folder / SUMMARY).is_file():
        raise FileNotFoundError(
            f"{folder} has no extractor and no reference. Run `dvc repro features` (or `make run`)."
        )
    summary, config = files.read_json(folder / SUMMARY), files.read_json(folder / EXTRACTOR)
    extractor = _extractor(folder, config, device)
    if extractor.sha256 != summary["extractor_sha256"]:
        raise ValueError(f"{folder} holds the features of another extractor. Run `dvc repro --force features`.")
    reference = Reference(
        moments=_read_moments(folder / REFERENCE),
        train=files.read_npy(folder / TRAIN, memory_map=True),
        heldout=files.read_npy(folder / HELDOUT, memory_map=True),
        floors=summary["floors"],
        classes=tuple(summary["classes"]),
        sha256=summary["reference_sha256"],
    )
    return extractor, reference


def load_record(folder: Path, device: str = "cpu") -> tuple[Extractor, Moments, Floors]:
    """Of a model's record, which keeps no features: extractor, moments of the training images, and their floors.

    Raises ExtractorError when the extractor cannot be had here, ValueError for files that do not belong together.
    """
    summary = files.read_json(folder / SUMMARY)
    extractor = _extractor(folder, files.read_json(folder / EXTRACTOR), device)
    if extractor.sha256 != summary["extractor_sha256"]:
        raise ValueError(f"{folder} holds the moments of another extractor")
    known = summary["floors"]
    floors = Floors(known["fid_halves"], known["fid_floor"], summary["reference_count"], summary["heldout_count"])
    return extractor, _read_moments(folder / REFERENCE), floors


def _extractor(folder: Path, config: dict[str, Any], device: str) -> Extractor:
    """The extractor that extractor.json names."""
    if config["name"] == InceptionExtractor.name:
        return _inception(config["file"], device)
    weights = folder / WEIGHTS
    sha256 = files.sha256_file(weights)
    if sha256 != config["sha256"]:
        raise ValueError(f"{weights} was changed after it was written. Run `dvc repro --force features`.")
    shape = {key: config[key] for key in ("resolution", "channels", "classes", "width")}
    return ClassifierExtractor(classifier.from_weights(shape, files.read_tensors(weights)), sha256, device)


def _inception(weights: str, device: str) -> Extractor:
    """Inception-v3 from its weights file."""
    path = Path(weights)
    if not weights or not path.is_file():
        raise ExtractorError(
            f"features.weights = {weights!r} is no file. Inception needs {INCEPTION_FILE} "
            f"(SHA-256 {INCEPTION_SHA256}): get it from {INCEPTION_URL}, "
            "keep it under a version with `dvc add`, and name it in features.weights"
        )
    return InceptionExtractor(path.read_bytes(), device=device)


def _write_moments(path: Path, statistics: Moments) -> None:
    """Mean and covariance in float64, with their count."""
    import torch

    tensors = {"mean": torch.from_numpy(statistics.mean), "covariance": torch.from_numpy(statistics.covariance)}
    files.write_tensors(path, tensors | {"count": torch.tensor(statistics.count)})


def _read_moments(path: Path) -> Moments:
    """What `_write_moments` wrote."""
    tensors = files.read_tensors(path)
    return Moments(int(tensors["count"]), tensors["mean"].numpy(), tensors["covariance"].numpy())
