"""Stage evaluate: scores and pictures of the images that were drawn."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ddpm.common import files, terminal
from ddpm.common.progress import progress
from ddpm.config import params
from ddpm.data import prepared
from ddpm.evaluation import reference
from ddpm.metrics.evaluate import Reference, score_features, significant
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.memorisation import count_copies
from ddpm.metrics.neighbours import nearest
from ddpm.metrics.quality import Seen, guesses
from ddpm.metrics.scores import require_enough
from ddpm.metrics.shards import WHOLE, Shard
from ddpm.report import album, figures, picture
from ddpm.report.picture import Picture
from ddpm.runtime.device import choose_device, deterministic
from ddpm.runtime.process_group import process_group
from ddpm.stages import run, schedules

TRAIN, SAMPLE = Path("out/train"), Path("out/sample")
METRICS, SCORES = Path("out/evaluate/metrics.json"), Path("out/evaluate/scores.json")
PICTURES = Path("out/evaluate/pictures")
MEASURED_BY = (
    "extractor", "extractor_sha256", "resize", "reference_sha256", "reference_count", "count", "inception_score_splits",
)  # fmt: skip
"""Conditions without which two scores cannot be compared. How images are drawn is not one: scores are to tell that."""
SHOWN = {"fid": "fid", "is": "inception_score", "kid": "kid", "recall": "recall"}
"""What DVC shows of the scores: the name there, and the one in metrics.json."""
COMPANIONS = 5  # training images shown beside a sample
NO_CONDITION = {"count", "batch", "strip", "evaluations"}  # what sample.json holds that does not change an image


def main() -> None:
    """Score out/sample and draw the pictures; under torchrun, the scores are shared work."""
    settings = params.load().evaluate
    extractor, real = reference.load(device=device())
    data = prepared.load()
    if len(real.train) != len(data.train_indices):
        raise ValueError("out/features was made of other images than out/prepare holds. Run `dvc repro features`.")
    with (
        process_group() as (rank, count, gather),
        looked(SAMPLE, extractor, real, Shard(rank, count, gather)) as drawn,
    ):
        metrics = measure(drawn, extractor, real, settings, data)
        if rank == 0:
            write(settings, drawn, extractor, data, metrics)


def write(
    settings: params.Evaluate,
    drawn: "Drawn",
    extractor: Extractor,
    data: prepared.PreparedSet,
    metrics: Mapping[str, Any],
) -> None:
    """Leave scores and pictures in out/evaluate."""
    pairs = neighbours(drawn, data.train_indices, closest_of_each_class(drawn, settings.neighbours))
    shown = draw(settings, data, drawn, extractor, metrics, pairs)
    with files.fresh_folder(PICTURES) as folder:
        picture.save(folder, shown)
        files.write_json(folder / "neighbours.json", pairs)
    files.write_json(METRICS, metrics)
    files.write_json(SCORES, comparable(metrics))
    terminal.echo(
        f"evaluate: FID {metrics['fid']:.3g} (real images {metrics['fid_halves']:.3g}); `ddpm report` makes the page"
    )


def device() -> str:
    """Where the extractor runs."""
    deterministic()
    return str(choose_device(os.environ.get("DDPM_DEVICE", "auto")))


@dataclass(frozen=True)
class Drawn:
    """What a sample stage left in `folder`: images and labels in the order of their seeds, and how they are seen.

    near: of each its COMPANIONS nearest training images, indices into the training split and distances.
    """

    folder: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    seen: Seen
    near: tuple[NDArray[np.int64], NDArray[np.float64]]
    shard: Shard


@contextlib.contextmanager
def looked(folder: Path, extractor: Extractor, real: Reference, shard: Shard = WHOLE) -> Iterator[Drawn]:
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
        yield Drawn(folder, images, labels, seen, nearest(seen.features, real.train, COMPANIONS, shard), shard)


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
        near=drawn.near,
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
    if "class_accuracy" in metrics:
        real_accuracy = accuracy_of_real_images(drawn.labels, extractor, real, data)
        metrics["floors"]["class_accuracy"] = {"heldout": significant(real_accuracy)}
    return metrics


def accuracy_of_real_images(
    labels: NDArray[np.int64], extractor: Extractor, real: Reference, data: prepared.PreparedSet
) -> float:
    """What class accuracy held-out images would have, were they as many of each class as the samples.

    Of rare classes alone, that is far below the accuracy on all held-out images. A class of which none is held out
    counts as the mean of the others.
    """
    held = data.labels[data.heldout_indices]
    right = guesses(real.heldout, extractor) == held
    of_class = {label: right[held == label].mean() for label in np.unique(held)}
    mean = np.mean(list(of_class.values()))
    return float(np.mean([of_class.get(label, mean) for label in labels]))


def comparable(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The scores that decide, in short names, under six digits of the SHA-256 of their conditions: DVC
    then subtracts only like from like, and a line of `dvc metrics show` fits a terminal.
    """
    conditions = {name: metrics["conditions"].get(name) for name in MEASURED_BY}
    key = files.sha256_json(conditions)[:6]
    return {key: {name: metrics[score] for name, score in SHOWN.items() if score in metrics}}


def closest_of_each_class(drawn: Drawn, count: int) -> NDArray[np.int64]:
    """`count` samples: the closest to a training image of each class, then the second closest, and so on.

    Of all classes together, one of simple shapes would fill the list.
    """
    closest = drawn.near[1][:, 0]
    place = np.empty(len(closest), np.int64)  # within its class
    for label in np.unique(drawn.labels):
        members = np.flatnonzero(drawn.labels == label)
        place[members[closest[members].argsort(kind="stable")]] = np.arange(len(members))
    return np.lexsort((closest, place))[:count]


def neighbours(drawn: Drawn, train_indices: NDArray[np.int64], chosen: Iterable[int]) -> list[dict[str, Any]]:
    """The chosen samples, each with its nearest training images (indices of prepared ones) and their distances."""
    indices, distances = drawn.near
    return [
        {
            "sample": int(sample),
            "training": train_indices[indices[sample]].tolist(),
            "distances": [float(f"{distance:.6g}") for distance in distances[sample]],
        }
        for sample in chosen
    ]


def draw(
    settings: params.Evaluate,
    data: prepared.PreparedSet,
    drawn: Drawn,
    extractor: Extractor,
    metrics: Mapping[str, Any],
    pairs: list[dict[str, Any]],
) -> list[Picture]:
    """The pictures, in the order of the page."""
    real = album.Real(data.images, data.labels, data.heldout, data.classes)
    generated = album.Drawn(
        drawn.images,
        drawn.labels,
        files.read_npy(SAMPLE / "strip.npy"),
        confidence(extractor, drawn.seen.features, drawn.labels),
        drawn.near[1][:, 0],
    )
    config, typical = files.read_json(TRAIN / "model" / "config.json"), metrics["nearest_heldout_baseline"]
    worst = [sample for sample, *_ in metrics["memorisation"]["worst"][: settings.neighbours]]
    found = album.images(real, generated, settings.grid)
    if "class_histogram" in metrics:
        found.append(album.class_shares(real, metrics["class_histogram"]))
    return [
        *found,
        figures.schedule(*schedules.levels(config, metrics["conditions"])),
        album.training(TRAIN / "history.csv"),
        album.neighbours(real, generated, neighbours(drawn, data.train_indices, worst), typical, "worst"),
        album.neighbours(real, generated, pairs, typical, "of_each_class"),
    ]


def confidence(
    extractor: Extractor, features: NDArray[np.floating], labels: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Probability (N,) of the class that was asked for, or of the likeliest; None without a classifier."""
    if not extractor.classes:
        return None
    shares: NDArray[np.float64] = softmax(extractor.logits(features), axis=1)
    if (labels < 0).any():
        return np.asarray(shares.max(axis=1))
    return np.asarray(shares[np.arange(len(labels)), labels])


if __name__ == "__main__":
    run(main, shared=True)
