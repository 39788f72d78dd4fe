"""Stage evaluate: scores, pictures and the report of the images that were drawn."""

import contextlib
import csv
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm import build, files, params, reference, runtime
from ddpm.data import prepared
from ddpm.diffusion import schedule
from ddpm.metrics.evaluate import Reference, key, score_features
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.memorisation import count_copies
from ddpm.metrics.neighbours import nearest
from ddpm.metrics.quality import Seen
from ddpm.metrics.scores import require_enough
from ddpm.metrics.shards import WHOLE, Shard
from ddpm.progress import progress
from ddpm.report import figures, page
from ddpm.report.page import Picture
from ddpm.stages import run

TRAIN, SAMPLE = Path("out/train"), Path("out/sample")
METRICS, SCORES = Path("out/evaluate/metrics.json"), Path("out/evaluate/scores.json")
PICTURES, REPORT = Path("out/evaluate/pictures"), Path("out/report")
COMPANIONS = 5  # training images shown beside a sample
NO_CONDITION = {"count", "batch", "strip", "evaluations"}  # what sample.json holds that does not change an image


def main() -> None:
    """Score out/sample, draw the pictures, and write the page; under torchrun, the scores are shared work."""
    settings = params.load().evaluate
    extractor, real = reference.load(device=device())
    data = prepared.load()
    if len(real.train) != len(data.train_indices):
        raise ValueError("out/features was made of other images than out/prepare holds. Run `dvc repro features`.")
    with runtime.processes() as (rank, count, gather), looked(SAMPLE, extractor, Shard(rank, count, gather)) as drawn:
        metrics = measure(drawn, extractor, real, settings, data)
        if rank == 0:
            write(settings, drawn, real, data, metrics)


def write(
    settings: params.Evaluate, drawn: "Drawn", real: Reference, data: prepared.PreparedSet, metrics: Mapping[str, Any]
) -> None:
    """Leave scores, pictures and page in out/evaluate and out/report."""
    pairs = neighbours(drawn.seen.features, drawn.labels, real, data.train_indices, settings.neighbours)
    named = draw(settings, data, drawn.images, drawn.labels, metrics, pairs)
    html = page.render(page.compose(metrics, list(named.values()), tables(metrics, data)))
    with files.fresh_folder(PICTURES) as folder:
        for name, picture in named.items():
            files.write_bytes(folder / f"{name}.png", picture.png)
        files.write_json(folder / "neighbours.json", pairs)
    files.write_text(REPORT / "index.html", html)
    files.write_json(METRICS, metrics)
    files.write_json(SCORES, comparable(metrics))
    print(f"evaluate: FID {metrics['fid']:.3g} (real images {metrics['fid_halves']:.3g}), page in {REPORT}/index.html")


def device() -> str:
    """Where the extractor runs."""
    runtime.deterministic()
    return str(runtime.device(os.environ.get("DDPM_DEVICE", "auto")))


@dataclass(frozen=True)
class Drawn:
    """What a sample stage left in `folder`: images and labels in the order of their seeds, and how they are seen."""

    folder: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    seen: Seen
    shard: Shard


@contextlib.contextmanager
def looked(folder: Path, extractor: Extractor, shard: Shard = WHOLE) -> Iterator[Drawn]:
    """Open and look at what a sample stage left; the features live in a temporary file as long as the block.

    Raises FileNotFoundError, ValueError.
    """
    if not (folder / "sample.json").is_file():
        raise FileNotFoundError(f"{folder} has no drawn images. Run `dvc repro sample` (or `make run`).")
    images, labels = files.read_npy(folder / "images.npy", memory_map=True), files.read_npy(folder / "labels.npy")
    require_enough(len(images), "the samples", "Raise sample.count.")
    everything = np.arange(len(images))
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "features.npy"
        with progress("evaluate: features", len(images), "images") as shown:
            seen = reference.observe(extractor, images, everything, file, advance=shown.advance, shard=shard)
        yield Drawn(folder, images, labels, seen, shard)


def measure(
    drawn: Drawn, extractor: Extractor, real: Reference, settings: params.Evaluate, data: prepared.PreparedSet
) -> dict[str, Any]:
    """The scores of what was drawn, with all their conditions: what metrics.json holds."""
    how = files.read_json(drawn.folder / "sample.json")
    metrics = score_features(
        drawn.seen,
        drawn.labels,
        extractor,
        real,
        splits=settings.splits,
        blocks=settings.blocks,
        exact_copies=count_copies(drawn.images, data.images, data.train_indices),
        shard=drawn.shard,
    )
    # As everywhere in out/, the index of a training image is that among all prepared ones.
    metrics["memorisation"]["worst"] = [
        [sample, int(data.train_indices[nearest]), distance]
        for sample, nearest, distance in metrics["memorisation"]["worst"]
    ]
    metrics["conditions"] |= {name: value for name, value in how.items() if name not in NO_CONDITION}
    metrics["evaluations"] = how["evaluations"]
    accuracy = files.read_json(reference.FOLDER / reference.SUMMARY)["heldout_accuracy"]
    if accuracy is not None:
        metrics["extractor_accuracy"] = accuracy
    return metrics


def comparable(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The plain scores under a key that names their conditions: `dvc metrics diff` then sets only like against like."""
    scores = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    copies = {name: metrics["memorisation"][name] for name in ("exact_copies", "near_copies")}
    return {key(metrics["conditions"]): scores | copies}


def neighbours(
    features: NDArray[np.floating],
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
        "schedule": figures.schedule(*levels(files.read_json(TRAIN / "model" / "config.json"), metrics["conditions"])),
        "training": figures.curves(history["images"], history["loss"], history["lr"]),
    }
    if "class_histogram" in metrics:
        train_labels = data.labels[data.train_indices]
        shown["classes"] = figures.class_shares(metrics["class_histogram"], train_labels)
    return shown


def levels(
    config: Mapping[str, Any], conditions: Mapping[str, Any]
) -> tuple[dict[str, NDArray[np.float64]], str, NDArray[np.float64]]:
    """Sigmas of every schedule by name, the model's own name, and the sigmas that its sampler visits."""
    diffusion = config["diffusion"]
    own = f"{diffusion['process']}, {diffusion['schedule']}"
    found = {name: build.process(section).sigmas for name, section in build.EXAMPLES.items()}
    found[own] = build.process(diffusion).sigmas
    visited = found[own][schedule.visited(conditions["spacing"], found[own], conditions["steps"])]
    return {name: sigmas.numpy() for name, sigmas in found.items()}, own, visited.flip(0).numpy()


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
