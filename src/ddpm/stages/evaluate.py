"""Stage evaluate: scores and pictures of the images that were drawn."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ddpm import files, params, reference, runtime
from ddpm.data import prepared
from ddpm.metrics.evaluate import Reference, score_features
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.scores import nearest, require_enough
from ddpm.progress import progress
from ddpm.report import album, figures, picture
from ddpm.report.picture import Picture
from ddpm.stages import run, schedules

TRAIN, SAMPLE = Path("out/train"), Path("out/sample")
METRICS, PICTURES = Path("out/evaluate/metrics.json"), Path("out/evaluate/pictures")
COMPANIONS = 5  # training images shown beside a sample
NO_CONDITION = {"count", "batch", "strip", "evaluations"}  # what sample.json holds that does not change an image


def main() -> None:
    """Score out/sample and draw the pictures."""
    settings = params.load().evaluate
    extractor, real = reference.load(device=device())
    data = prepared.load()
    if len(real.train) != len(data.train_indices):
        raise ValueError("out/features was made of other images than out/prepare holds. Run `dvc repro features`.")
    images, labels, features = look(SAMPLE, extractor)
    metrics = measure(SAMPLE, features, labels, extractor, real, settings.splits)
    pairs = neighbours(features, labels, real, data.train_indices, settings.neighbours)
    shown = draw(settings, data, images, labels, extractor, features, real, metrics, pairs)
    with files.fresh_folder(PICTURES) as folder:
        picture.save(folder, shown)
        files.write_json(folder / "neighbours.json", pairs)
    files.write_json(METRICS, metrics)
    print(f"evaluate: FID {metrics['fid']:.3g} (real images {metrics['fid_halves']:.3g}); `ddpm report` makes the page")


def device() -> str:
    """Where the extractor runs."""
    runtime.deterministic()
    return str(runtime.device(os.environ.get("DDPM_DEVICE", "auto")))


def look(folder: Path, extractor: Extractor) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Images, labels and features of what a sample stage left in `folder`. Raises FileNotFoundError, ValueError."""
    if not (folder / "sample.json").is_file():
        raise FileNotFoundError(f"{folder} has no drawn images. Run `dvc repro sample` (or `make run`).")
    images, labels = files.read_npy(folder / "images.npy"), files.read_npy(folder / "labels.npy")
    require_enough(len(images), "the samples", "Raise sample.count.")
    with progress("evaluate: features", len(images), "images") as shown:
        return images, labels, extractor(images, shown.advance)


def measure(
    folder: Path,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    extractor: Extractor,
    real: Reference,
    splits: int,
) -> dict[str, Any]:
    """The scores of what lies in `folder`, with all their conditions: what metrics.json holds."""
    drawn = files.read_json(folder / "sample.json")
    metrics = score_features(features, labels, extractor, real, splits=splits)
    metrics["conditions"] |= {key: value for key, value in drawn.items() if key not in NO_CONDITION}
    metrics["evaluations"] = drawn["evaluations"]
    accuracy = files.read_json(reference.FOLDER / reference.SUMMARY)["heldout_accuracy"]
    if accuracy is not None:
        metrics["extractor_accuracy"] = accuracy
    return metrics


def neighbours(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    real: Reference,
    train_indices: NDArray[np.int64],
    count: int,
) -> list[dict[str, Any]]:
    """`count` samples that come close to a training image, each with its nearest ones and their distances.

    First the closest sample of each class, then the second closest: a class of simple shapes would fill the list.
    `training` are indices into the prepared images.
    """
    closest = nearest(features, real.train)[1][:, 0]
    place = np.empty(len(labels), np.int64)  # within its class
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members[closest[members].argsort(kind="stable")]] = np.arange(len(members))
    chosen = np.lexsort((closest, place))[:count]
    indices, distances = nearest(features[chosen], real.train, COMPANIONS)
    return [
        {
            "sample": int(sample),
            "training": train_indices[row].tolist(),
            "distances": [float(f"{distance:.6g}") for distance in far],
        }
        for sample, row, far in zip(chosen, indices, distances, strict=True)
    ]


def draw(
    settings: params.Evaluate,
    data: prepared.PreparedSet,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    extractor: Extractor,
    features: NDArray[np.float32],
    real: Reference,
    metrics: Mapping[str, Any],
    pairs: list[dict[str, Any]],
) -> list[Picture]:
    """The pictures, in the order of the page."""
    shown = album.Real(data.images, data.labels, data.heldout, data.classes)
    drawn = album.Drawn(
        images,
        labels,
        files.read_npy(SAMPLE / "strip.npy"),
        confidence(extractor, features, labels),
        nearest(features, real.train)[1][:, 0],
    )
    config = files.read_json(TRAIN / "model" / "config.json")
    found = album.images(shown, drawn, settings.grid)
    if "class_histogram" in metrics:
        found.append(album.class_shares(shown, metrics["class_histogram"]))
    return [
        *found,
        figures.schedule(*schedules.levels(config, metrics["conditions"])),
        album.training(TRAIN / "history.csv"),
        album.neighbours(shown, drawn, pairs, metrics["nearest_heldout_baseline"]),
    ]


def confidence(
    extractor: Extractor, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Probability (N,) of the class that was asked for, or of the likeliest; None without a classifier."""
    if not extractor.classes:
        return None
    shares: NDArray[np.float64] = softmax(extractor.logits(features), axis=1)
    if (labels < 0).any():
        return np.asarray(shares.max(axis=1))
    return np.asarray(shares[np.arange(len(labels)), labels])


if __name__ == "__main__":
    run(main)
