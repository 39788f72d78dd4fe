"""Scores of a folder of samples, with all conditions under which they were measured."""

import base64
import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ddpm.common import files
from ddpm.common.progress import progress
from ddpm.data import prepared
from ddpm.evaluation import reference
from ddpm.metrics import floors, stylised_facts
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.frechet import require_enough
from ddpm.metrics.inception_score import class_shares
from ddpm.metrics.memorisation import NEIGHBOURS, count_copies
from ddpm.metrics.precision_recall import nearest
from ddpm.metrics.record import Reference, score_features
from ddpm.metrics.rounding import significant
from ddpm.metrics.scoring import Features, predictions
from ddpm.metrics.shards import WHOLE, Shard

SUMMARY = "sample.json"
MEASURED_BY = (
    "extractor", "extractor_sha256", "resize", "reference_sha256", "reference_count", "count", "inception_score_splits",
)  # fmt: skip
"""Conditions without which two scores cannot be compared. Sampling is not one: scores are to show what it changes."""
SHORT_NAMES = {"fid": "fid", "is": "inception_score", "kid": "kid", "rec": "recall", "mr": "memorisation_ratio"}
"""The scores that DVC shows: the name there, and the one in metrics.json."""
SHOWN = 5
"""Training images shown beside a sample."""
NO_CONDITION = {"count", "batch", "strip", "evaluations"}
"""Entries of sample.json that do not change an image."""


@dataclass(frozen=True)
class Samples:
    """A folder of samples and their features, in the order of their seeds.

    images: uint8 (N, H, W, C), or series float32 (N, L, C); labels: int64 (N,); near: indices into the training split
    and distances of the NEIGHBOURS nearest training images, (N, NEIGHBOURS) each.
    """

    folder: Path
    images: NDArray[Any]
    labels: NDArray[np.int64]
    features: Features
    near: tuple[NDArray[np.int64], NDArray[np.float64]]
    shard: Shard


@contextlib.contextmanager
def extracted(folder: Path, extractor: Extractor, real: Reference, shard: Shard = WHOLE) -> Iterator[Samples]:
    """Extract the features of a folder of samples; they live in a temporary file for the length of the block.

    Raises FileNotFoundError for a folder without samples, ValueError for too few of them.
    """
    if not (folder / SUMMARY).is_file():
        raise FileNotFoundError(f"{folder} holds no samples. Run `dvc repro sample` (or `make run`).")
    images, labels = files.read_npy(folder / "images.npy", memory_map=True), files.read_npy(folder / "labels.npy")
    require_enough(len(images), "the samples", "Raise sample.count.")
    everything = np.arange(len(images))
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "features.npy"
        with progress("evaluate: features", len(images), "images") as shown:
            features = reference.observe(extractor, images, everything, file, advance=shown.advance, shard=shard)
        near = nearest(features.features, real.train, NEIGHBOURS, shard)
        yield Samples(folder, images, labels, features, near, shard)


def score(
    samples: Samples, extractor: Extractor, real: Reference, data: prepared.PreparedSet, *, splits: int, blocks: int
) -> dict[str, Any]:
    """Score samples; returns the content of metrics.json.

    splits: of the Inception Score; blocks: of KID.
    """
    conditions = files.read_json(samples.folder / SUMMARY)
    metrics = score_features(
        samples.features,
        samples.labels,
        extractor,
        real,
        splits=splits,
        blocks=blocks,
        exact_copies=_copies(samples, data),
        near=samples.near,
        shard=samples.shard,
    )
    # As everywhere in out/, the index of a training image is that among all prepared ones.
    metrics["memorisation"]["worst"] = [
        [sample, int(data.train_indices[nearest]), distance]
        for sample, nearest, distance in metrics["memorisation"]["worst"]
    ]
    metrics["conditions"] |= {name: value for name, value in conditions.items() if name not in NO_CONDITION}
    metrics["evaluations"] = conditions["evaluations"]
    if data.classes and (samples.labels >= 0).all():
        requested = class_shares(samples.labels, len(data.classes))
        metrics["class_shares_requested"] = dict(zip(data.classes, map(significant, requested), strict=True))
    if data.series is not None:
        metrics |= _facts(samples, data, data.series.transform)
        metrics["floors"]["facts_deviation"] = metrics["facts"].pop("largest_deviation")
    accuracy = files.read_json(reference.FOLDER / reference.SUMMARY)["heldout_accuracy"]
    if accuracy is not None:
        metrics["extractor_accuracy"] = accuracy
    if "class_accuracy" in metrics:
        real_accuracy = accuracy_of_real_images(samples.labels, extractor, real, data)
        metrics["floors"]["class_accuracy"] = {"heldout": significant(real_accuracy)}
    return metrics


def _facts(samples: Samples, data: prepared.PreparedSet, transform: str) -> dict[str, Any]:
    """Compute the stylised facts of series, and the largest deviation from those of real ones."""
    real, heldout = (np.asarray(data.images[each]) for each in (data.train_indices, data.heldout_indices))
    random = np.random.default_rng(0)
    made = {"noise": floors.independent, "shuffled": floors.shuffled}
    noisy = {name: make(len(samples.images), real, random) for name, make in made.items()}
    found = stylised_facts.compare(samples.images, real, heldout, noisy, transform)
    return {"facts": found, "facts_deviation": found["largest_deviation"].pop("generated")}


def _copies(samples: Samples, data: prepared.PreparedSet) -> int:
    """Count samples that equal a training image. Raises ValueError for images of another shape."""
    if samples.images.shape[1:] != data.images.shape[1:]:
        shapes = f"{samples.images.shape[1:]} and {data.images.shape[1:]}"
        raise ValueError(
            f"images of {shapes} cannot be compared pixel by pixel. Run `dvc repro sample` (or `make run`)."
        )
    return count_copies(samples.images, data.train_digests())


def accuracy_of_real_images(
    labels: NDArray[np.int64], extractor: Extractor, real: Reference, data: prepared.PreparedSet
) -> float:
    """Class accuracy of held-out images, weighted to have as many of each class as the samples.

    Of rare classes alone, that is far below the accuracy on all held-out images. A class of which none is held out
    counts as the mean of the others.
    """
    held = data.labels[data.heldout_indices]
    right = predictions(real.heldout, extractor) == held
    of_class = {label: right[held == label].mean() for label in np.unique(held)}
    mean = np.mean(list(of_class.values()))
    return float(np.mean([of_class.get(label, mean) for label in labels]))


def comparable(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Group the deciding scores, by short names, under four characters for the SHA-256 of their conditions.

    DVC then subtracts only like from like (base 32: a chance of one in a million for two unlike sets), and a line of
    `dvc metrics show` fits a terminal.
    """
    conditions = {name: metrics["conditions"].get(name) for name in MEASURED_BY}
    key = base64.b32encode(bytes.fromhex(files.sha256_json(conditions)))[:4].decode().lower()
    return {key: {name: metrics[score] for name, score in SHORT_NAMES.items() if score in metrics}}


def closest_of_each_class(samples: Samples, count: int) -> NDArray[np.int64]:
    """Choose `count` samples: the closest to a training image of each class, then the second closest, and so on.

    Of all classes together, one of simple shapes would fill the list.
    """
    closest = samples.near[1][:, 0]
    place = np.empty(len(closest), np.int64)  # within its class
    for label in np.unique(samples.labels):
        members = np.flatnonzero(samples.labels == label)
        place[members[closest[members].argsort(kind="stable")]] = np.arange(len(members))
    return np.lexsort((closest, place))[:count]


def neighbours(samples: Samples, train_indices: NDArray[np.int64], chosen: Iterable[int]) -> list[dict[str, Any]]:
    """The chosen samples, each with its SHOWN nearest training images (indices of prepared ones) and distances."""
    indices, distances = samples.near
    return [
        {
            "sample": int(sample),
            "training": train_indices[indices[sample, :SHOWN]].tolist(),
            "distances": [float(f"{distance:.6g}") for distance in distances[sample, :SHOWN]],
        }
        for sample in chosen
    ]


def confidence(
    extractor: Extractor, features: NDArray[np.floating], labels: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Probability (N,) of the requested class, or of the likeliest without one; None without a classifier."""
    if not extractor.classes:
        return None
    shares: NDArray[np.float64] = softmax(extractor.logits(features), axis=1)
    if (labels < 0).any():
        return np.asarray(shares.max(axis=1))
    return np.asarray(shares[np.arange(len(labels)), labels])
