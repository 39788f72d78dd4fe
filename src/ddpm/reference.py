"""What the features stage leaves for everything that scores images: the extractor and the real images' features."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddpm import files
from ddpm.metrics import classifier, inception
from ddpm.metrics.evaluate import Reference, real_scores
from ddpm.metrics.extractors import AS_IT_IS, ClassifierExtractor, Extractor, ExtractorError
from ddpm.metrics.inception import InceptionExtractor
from ddpm.metrics.own import OwnExtractor
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


def write_inception(folder: Path, weights: str, resize: str, device: str) -> Extractor:
    """Check the weights file at `weights` and save where it is. Raises ExtractorError when it is missing or wrong."""
    extractor = open_inception(weights, resize, device)
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, "file": weights}
    files.write_json(folder / EXTRACTOR, config | {"resize": resize})
    return extractor


def write_own(folder: Path, source: str, resize: str, device: str) -> Extractor:
    """Copy the declared extractor in the folder `source`, so that later changes there do not reach it."""
    extractor = open_own(source, resize, device)
    files.write_bytes(folder / WEIGHTS, (Path(source) / WEIGHTS).read_bytes())
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, "resize": resize}
    files.write_json(folder / EXTRACTOR, config | {"declared": files.read_json(Path(source) / EXTRACTOR)})
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
    summary = files.read_json(folder / SUMMARY)
    extractor = open_extractor(folder, device)
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
    extractor = open_extractor(folder, device)
    if extractor.sha256 != summary["extractor_sha256"]:
        raise ValueError(f"{folder} holds the moments of another extractor")
    known = summary["floors"]
    floors = Floors(known["fid_halves"], known["fid_floor"], summary["reference_count"], summary["heldout_count"])
    return extractor, _read_moments(folder / REFERENCE), floors


def open_extractor(folder: Path, device: str, resize: str = AS_IT_IS) -> Extractor:
    """The extractor that extractor.json of a features stage names. `resize` is for a classifier, which has none.

    Raises FileNotFoundError or ValueError that say what to do.
    """
    config = files.read_json(folder / EXTRACTOR)
    if config["name"] == InceptionExtractor.name:
        return open_inception(config["file"], config["resize"], device)
    weights = folder / WEIGHTS
    if config["name"] == OwnExtractor.name:
        extractor: Extractor = _own(config["declared"], weights, config["resize"], device)
        found = extractor.sha256
    else:
        found = files.sha256_file(weights)
        shape = {key: config[key] for key in ("resolution", "channels", "classes", "width")}
        model = classifier.from_weights(shape, files.read_tensors(weights))
        extractor = ClassifierExtractor(model, found, device, resize)
    if found != config["sha256"]:
        raise ValueError(f"{weights} was changed after it was written. Run `dvc repro --force features`.")
    return extractor


def open_inception(weights: str, resize: str, device: str) -> Extractor:
    """Inception-v3 from its weights file. Raises ExtractorError."""
    path = Path(weights)
    if not weights or not path.is_file():
        raise ExtractorError(
            f"features.weights = {weights!r} is no file. Inception needs {inception.FILE} "
            f"(SHA-256 {inception.SHA256}): `ddpm weights inception` gets it, checks it and keeps it under a version; "
            "then name it in features.weights"
        )
    return InceptionExtractor(path.read_bytes(), resize, device=device)


def open_own(source: str, resize: str, device: str) -> Extractor:
    """An extractor of one's own from the folder that declares it. Raises ExtractorError."""
    folder = Path(source)
    missing = [name for name in (EXTRACTOR, WEIGHTS) if not (folder / name).is_file()]
    if not source or missing:
        raise ExtractorError(
            f"{source or 'features.weights'} holds no extractor of your own: it needs the files {EXTRACTOR} and "
            f"{WEIGHTS}. docs/extractors.md says what belongs in them"
        )
    return _own(files.read_json(folder / EXTRACTOR), folder / WEIGHTS, resize, device)


def _own(declared: dict[str, Any], weights: Path, resize: str, device: str) -> Extractor:
    return OwnExtractor(declared, files.read_tensors(weights), resize, device)


def _write_moments(path: Path, statistics: Moments) -> None:
    """Mean and covariance in float64, with their count."""
    import torch

    tensors = {"mean": torch.from_numpy(statistics.mean), "covariance": torch.from_numpy(statistics.covariance)}
    files.write_tensors(path, tensors | {"count": torch.tensor(statistics.count)})


def _read_moments(path: Path) -> Moments:
    """What `_write_moments` wrote."""
    tensors = files.read_tensors(path)
    return Moments(int(tensors["count"]), tensors["mean"].numpy(), tensors["covariance"].numpy())
