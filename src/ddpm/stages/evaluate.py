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
from ddpm.report import page, pictures, plots
from ddpm.report.page import Picture
from ddpm.stages import run

TRAIN, SAMPLE = Path("out/train"), Path("out/sample")
METRICS, PICTURES, REPORT = Path("out/evaluate/metrics.json"), Path("out/evaluate/pictures"), Path("out/report")
COMPANIONS = 5  # training images shown beside a sample
NO_CONDITION = {"count", "batch", "strip"}  # what sample.json holds that does not change an image


def main() -> None:
    """Score out/sample, draw the pictures, and write the page."""
    settings = params.load().evaluate
    extractor, real = reference.load(device=device())
    data = prepared.load()
    if len(real.train) != len(data.train_indices):
        raise ValueError("out/features was made of other images than out/prepare holds. Run `dvc repro features`.")
    images, labels, features = look(SAMPLE, extractor)
    metrics = measure(SAMPLE, features, labels, extractor, real, settings.splits)
    found, distances = nearest_training(features, labels, real, settings.neighbours)
    named: dict[str, Picture] = {
        "samples": samples(images, labels, settings.grid),
        "real_and_generated": comparison(data, images, labels),
        "denoising": denoising(labels, data.classes),
        "neighbours": companions(data, images, found, distances, metrics["nearest_heldout_baseline"]),
        "training": curves(TRAIN / "history.csv"),
    }
    if "class_histogram" in metrics:
        named["classes"] = class_shares(metrics["class_histogram"], data)
    with files.fresh_folder(PICTURES) as folder:
        for name, picture in named.items():
            files.write_bytes(folder / f"{name}.png", picture.png)
        files.write_json(folder / "neighbours.json", neighbour_table(data, found, distances))
    html = page.render(page.compose(metrics, list(named.values()), tables(metrics, data)))
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
    accuracy = files.read_json(reference.FOLDER / reference.SUMMARY)["heldout_accuracy"]
    if accuracy is not None:
        metrics["extractor_accuracy"] = accuracy
    return metrics


def nearest_training(
    features: NDArray[np.float32], labels: NDArray[np.int64], real: Reference, count: int
) -> tuple[list[tuple[int, list[int]]], list[list[float]]]:
    """`count` samples that come close to a training image, each with its nearest ones and their distances.

    First the closest sample of each class, then the second closest: a class of simple shapes would fill the list.
    """
    closest = nearest(features, real.train)[1][:, 0]
    place = np.empty(len(labels), np.int64)  # within its class
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members[closest[members].argsort(kind="stable")]] = np.arange(len(members))
    chosen = np.lexsort((closest, place))[:count]
    indices, distances = nearest(features[chosen], real.train, COMPANIONS)
    return list(zip(chosen.tolist(), indices.tolist(), strict=True)), distances.tolist()


def samples(images: NDArray[np.uint8], labels: NDArray[np.int64], side: int) -> Picture:
    """The first images, unsorted and unselected."""
    shown = min(side * side, len(images))
    asked = " Classes are asked for in turn." if (labels >= 0).all() else ""
    caption = f"The first {shown} images, not selected.{asked} Every pixel is one square."
    return Picture(pictures.grid(images, side), "Samples", caption, f"Grid of {shown} generated images")


def comparison(data: prepared.PreparedSet, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Picture:
    """Training images beside generated ones."""
    classes = data.classes if (labels >= 0).all() else ()
    real_labels = np.where(data.heldout, -1, data.labels)
    png = pictures.real_and_generated(data.images, real_labels, images, labels, classes)
    rows = ", a row for each class" if classes else ""
    return Picture(
        png,
        "Real beside generated",
        f"Images of the data set at the left, generated ones at the right{rows}.",
        f"Real images at the left and generated images at the right{rows}",
    )


def denoising(labels: NDArray[np.int64], classes: tuple[str, ...]) -> Picture:
    """The strip that the sample stage kept."""
    strip = files.read_npy(SAMPLE / "strip.npy")
    names = [classes[label] if label >= 0 else "" for label in labels[: len(strip)]]
    return Picture(
        pictures.denoising(strip, names),
        "From noise to image",
        "Each row is one sample on its way: pure noise at the left, the finished image at the right.",
        f"{len(strip)} rows of images that emerge from noise, left to right",
    )


def companions(
    data: prepared.PreparedSet,
    images: NDArray[np.uint8],
    found: list[tuple[int, list[int]]],
    distances: list[list[float]],
    typical: float,
) -> Picture:
    """The samples nearest to the training set, beside what they are near to."""
    nearby = [[np.asarray(data.images[data.train_indices[i]]) for i in indices] for _, indices in found]
    chosen = images[[sample for sample, _ in found]]
    return Picture(
        pictures.neighbours(chosen, nearby, [row[0] for row in distances]),
        "Nearest training images",
        f"{len(found)} samples that come close to a training image (the closest of each class first), each beside its "
        f"{COMPANIONS} nearest. The number is the distance to the first, in feature space; half of all unseen real "
        f"images come within {typical:.2f}. A copy has distance 0 and looks the same.",
        f"{len(found)} rows: a generated image, then the training images most like it",
    )


def curves(history: Path) -> Picture:
    """Loss and learning rate. Raises FileNotFoundError or ValueError for a missing or empty history."""
    with history.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{history} is empty. Run `dvc repro --force train`.")
    seen, loss, rate = ([float(row[name]) for row in rows] for name in ("images", "loss", "lr"))
    return Picture(
        plots.training(seen, loss, rate),
        "Training",
        f"{seen[-1]:,.0f} images seen. The loss, at the left, is averaged between log lines.",
        f"Training loss from {loss[0]:.3g} to {loss[-1]:.3g}, and the learning rate, over {seen[-1]:,.0f} images",
    )


def class_shares(histogram: Mapping[str, float], data: prepared.PreparedSet) -> Picture:
    """Generated classes against those of the training split."""
    counts = np.bincount(data.labels[data.train_indices], minlength=len(data.classes))
    return Picture(
        plots.classes(list(histogram), list(histogram.values()), (counts / counts.sum()).tolist()),
        "Classes",
        "Share of each class among the generated images; marks show the training set.",
        "Bar chart: " + ", ".join(f"{name} {share:.1%}" for name, share in histogram.items()),
    )


def neighbour_table(
    data: prepared.PreparedSet, found: list[tuple[int, list[int]]], distances: list[list[float]]
) -> list[dict[str, Any]]:
    """The same pairs as numbers: `training` are indices into out/prepare/images.npy."""
    return [
        {
            "sample": sample,
            "training": data.train_indices[indices].tolist(),
            "distances": [float(f"{distance:.6g}") for distance in row],
        }
        for (sample, indices), row in zip(found, distances, strict=True)
    ]


def tables(metrics: Mapping[str, Any], data: prepared.PreparedSet) -> dict[str, Mapping[str, Any]]:
    """What the numbers depend on, for the end of the page."""
    config = files.read_json(TRAIN / "model" / "config.json")
    lineage = {
        "prepared images": f"{len(data.images):,}, SHA-256 {data.sha256}",
        "training and held-out split": f"{len(data.train_indices):,} and {len(data.heldout_indices):,}",
        "weights SHA-256": metrics["conditions"].get("weights_sha256", "unknown"),
        "training digest": config.pop("digest", "unknown"),
    }
    conditions = {key.replace("_", " "): value for key, value in metrics["conditions"].items()}
    return {"Conditions of the scores": page.flat(conditions), "Lineage": lineage, "Model": page.flat(config)}


if __name__ == "__main__":
    run(main)
