"""Stage evaluate: scores, pictures and the report of the images that were drawn."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm import files, params, reference, runtime
from ddpm.data import prepared
from ddpm.metrics.evaluate import Reference, score_features
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.scores import nearest, require_enough
from ddpm.progress import progress
from ddpm.report import figures, page
from ddpm.report.page import Picture
from ddpm.stages import run, schedules

TRAIN, SAMPLE = Path("out/train"), Path("out/sample")
METRICS, PICTURES, REPORT = Path("out/evaluate/metrics.json"), Path("out/evaluate/pictures"), Path("out/report")
COMPANIONS = 5  # training images shown beside a sample
NO_CONDITION = {"count", "batch", "strip", "evaluations"}  # what sample.json holds that does not change an image


def main() -> None:
    """Score out/sample, draw the pictures, and write the page."""
    settings = params.load().evaluate
    extractor, real = reference.load(device=device())
    data = prepared.load()
    if len(real.train) != len(data.train_indices):
        raise ValueError("out/features was made of other images than out/prepare holds. Run `dvc repro features`.")
    images, labels, features = look(SAMPLE, extractor)
    metrics = measure(SAMPLE, features, labels, extractor, real, settings.splits)
    pairs = neighbours(features, labels, real, data.train_indices, settings.neighbours)
    named = draw(settings, data, images, labels, metrics, pairs)
    html = page.render(page.compose(metrics, list(named.values()), tables(metrics, data)))
    with files.fresh_folder(PICTURES) as folder:
        for name, picture in named.items():
            files.write_bytes(folder / f"{name}.png", picture.png)
        files.write_json(folder / "neighbours.json", pairs)
    files.write_text(REPORT / "index.html", html)
    files.write_json(METRICS, metrics)
    print(f"evaluate: FID {metrics['fid']:.3g} (real images {metrics['fid_halves']:.3g}), page in {REPORT}/index.html")


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
    metrics: Mapping[str, Any],
    pairs: list[dict[str, Any]],
) -> dict[str, Picture]:
    """The pictures, by the names of their files, in the order of the page."""
    history = read_history(TRAIN / "history.csv")
    shown = {
        "samples": figures.samples(images, labels, settings.grid),
        "real_and_generated": figures.comparison(
            data.images, np.where(data.heldout, -1, data.labels), images, labels, data.classes
        ),
        "denoising": figures.denoising(files.read_npy(SAMPLE / "strip.npy"), labels, data.classes),
        "neighbours": figures.companions(
            images[[pair["sample"] for pair in pairs]],
            [[np.asarray(data.images[i]) for i in pair["training"]] for pair in pairs],
            [pair["distances"][0] for pair in pairs],
            metrics["nearest_heldout_baseline"],
        ),
        "schedule": figures.schedule(
            *schedules.levels(files.read_json(TRAIN / "model" / "config.json"), metrics["conditions"])
        ),
        "training": figures.curves(history["images"], history["loss"], history["lr"]),
    }
    if "class_histogram" in metrics:
        train_labels = data.labels[data.train_indices]
        shown["classes"] = figures.class_shares(metrics["class_histogram"], train_labels)
    return shown


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of history.csv. Raises FileNotFoundError, or ValueError for a history without rows."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} is empty. Run `dvc repro --force train`.")
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def tables(metrics: Mapping[str, Any], data: prepared.PreparedSet) -> dict[str, Mapping[str, Any]]:
    """What the numbers depend on, for the end of the page."""
    config = files.read_json(TRAIN / "model" / "config.json")
    lineage = {
        "prepared images": f"{len(data.images):,}, SHA-256 {data.sha256}",
        "training and held-out split": f"{len(data.train_indices):,} and {len(data.heldout_indices):,}",
        "weights SHA-256": metrics["conditions"]["weights_sha256"],
        "training digest": config.pop("digest", "none"),
    }
    conditions = {key.replace("_", " "): value for key, value in metrics["conditions"].items()}
    return {"Conditions of the scores": page.flat(conditions), "Lineage": lineage, "Model": page.flat(config)}


if __name__ == "__main__":
    run(main)
