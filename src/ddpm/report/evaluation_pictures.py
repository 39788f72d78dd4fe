"""The pictures of an evaluation, in page order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files
from ddpm.data.prepared import PreparedSet
from ddpm.evaluation import history, score_folder
from ddpm.evaluation.score_folder import Samples
from ddpm.imaging.paths import Paths, common_limits
from ddpm.imaging.pixels import Pixels
from ddpm.metrics import loss_gap
from ddpm.metrics.extractors import Extractor
from ddpm.metrics.floors import shuffled
from ddpm.model import checkpoint
from ddpm.report import figures, picture, schedules
from ddpm.report.picture import Picture

LAGS = 25


@dataclass(frozen=True)
class RealImages:
    """The data set: images uint8 (N, H, W, C), labels int64 (N,), -1 for no class; heldout bool (N,)."""

    images: Pixels
    labels: NDArray[np.int64]
    heldout: NDArray[np.bool_]
    classes: Sequence[str]


@dataclass(frozen=True)
class Drawn:
    """Generated images (M, H, W, C), labels (M,), and strip (rows, steps, H, W, C) of their denoising.

    confidence (M,): classifier probability of each image's class, None without classes; distance (M,): to the nearest
    training image, in feature space.
    """

    images: Pixels
    labels: NDArray[np.int64]
    strip: Pixels
    confidence: NDArray[np.float64] | None
    distance: NDArray[np.floating]


def write(
    folder: Path,
    samples: Samples,
    extractor: Extractor,
    data: PreparedSet,
    metrics: Mapping[str, Any],
    train: Path,
    *,
    grid: int,
    neighbours: int,
) -> None:
    """Write the pictures of an evaluation, and neighbours.json, to `folder`.

    train: output of the train stage. grid: side of the grid of samples. neighbours: number of samples shown with their
    nearest training images.
    """
    closest = score_folder.closest_of_each_class(samples, neighbours)
    pairs = score_folder.neighbours(samples, data.train_indices, closest)
    made = evaluation(samples, extractor, data, metrics, train, pairs, grid=grid, neighbours=neighbours)
    with files.fresh_folder(folder) as new:
        picture.save(new, made)
        files.write_json(new / "neighbours.json", pairs)


def evaluation(
    samples: Samples,
    extractor: Extractor,
    data: PreparedSet,
    metrics: Mapping[str, Any],
    train: Path,
    pairs: Sequence[Mapping[str, Any]],
    *,
    grid: int,
    neighbours: int,
) -> list[Picture]:
    """Draw all pictures of an evaluation. pairs: as in neighbours.json; other arguments as for `write`."""
    strip = files.read_npy(samples.folder / "strip.npy")
    shown = _as_pictures(data, samples, strip)
    real = RealImages(shown[0], data.labels, data.heldout, data.classes)
    drawn = Drawn(
        shown[1],
        samples.labels,
        shown[2],
        score_folder.confidence(extractor, samples.features.features, samples.labels),
        samples.near[1][:, 0],
    )
    config, typical = checkpoint.read_config(train / "model"), metrics.get("nearest_heldout_baseline")
    worst = [sample for sample, *_ in metrics["memorisation"]["worst"][:neighbours]]
    copies = score_folder.neighbours(samples, data.train_indices, worst)
    found = images(real, drawn, grid)
    if data.series is not None:
        found += series(data, samples.images)
    if "class_histogram" in metrics:
        found.append(class_shares(real, metrics["class_histogram"], drawn.labels))
    return [
        *found,
        figures.schedule(*schedules.sigmas(config, metrics["conditions"])),
        *training(train / "history.csv", schedules.heldout_loss_sigmas(config)),
        companions(real, drawn, copies, typical, "worst"),
        companions(real, drawn, pairs, typical, "of_each_class"),
    ]


def _as_pictures(data: PreparedSet, samples: Samples, strip: NDArray[Any]) -> tuple[Pixels, Pixels, Pixels]:
    """Real examples, samples and strip as images: those of images as they are, of series as paths of one scale."""
    if data.series is None:
        return data.images, samples.images, strip
    limits = common_limits(data.images)
    frames = Paths(strip.reshape(-1, *strip.shape[2:]), limits)[:]
    real, drawn = (cast(Pixels, Paths(each, limits)) for each in (data.images, samples.images))  # indexed as arrays are
    return real, drawn, frames.reshape(*strip.shape[:2], *frames.shape[1:])


def images(real: RealImages, drawn: Drawn, grid: int) -> list[Picture]:
    """Draw the grids: real and generated images, unselected samples, best and worst samples, denoising."""
    shown = np.where(real.heldout, -1, real.labels)
    found = [
        figures.strip(drawn.images, drawn.labels, real.classes),
        figures.comparison(real.images, shown, drawn.images, drawn.labels, real.classes),
        figures.samples(drawn.images, drawn.labels, grid),
    ]
    measures = {"confidence": drawn.confidence, "neighbour": drawn.distance}
    for by, scores in measures.items():
        if scores is not None:
            found.append(figures.extremes(drawn.images, drawn.labels, real.classes, scores=scores, by=by))
    return [*found, figures.denoising(drawn.strip, drawn.labels, real.classes)]


def series(data: PreparedSet, generated: NDArray[Any]) -> list[Picture]:
    """Draw memory, tails and paths of generated series (M, L, C) beside real and shuffled ones."""
    if data.series is None:
        raise ValueError("these are images, not series")
    real, heldout = (np.asarray(data.images[each]) for each in (data.train_indices, data.heldout_indices))
    mixed = shuffled(len(generated), real, np.random.default_rng(0))
    sets = {"real": real, "held out": heldout, "shuffled": mixed, "generated": generated}
    paths = {name: sets[name] for name in ("real", "held out", "generated")}
    lags = min(LAGS, data.resolution // 2)
    return [figures.memory(sets, lags), figures.tails(sets), figures.fans(paths, data.series.transform)]


def companions(
    real: RealImages, drawn: Drawn, pairs: Sequence[Mapping[str, Any]], typical: float | None, chosen: str
) -> Picture:
    """Draw samples close to a training image. pairs: as in neighbours.json; chosen: a key of figures.CLOSE."""
    return figures.companions(
        drawn.images[[pair["sample"] for pair in pairs]],
        [[np.asarray(real.images[i]) for i in pair["training"]] for pair in pairs],
        [pair["distances"][0] for pair in pairs],
        typical,
        chosen,
    )


def class_shares(real: RealImages, histogram: Mapping[str, float], requested: NDArray[np.int64]) -> Picture:
    """Draw the class shares of the samples and of the training images. requested (N,): class of each sample, or -1."""
    return figures.class_shares(histogram, real.labels[~real.heldout], requested)


def training(path: Path, sigmas: Sequence[float]) -> list[Picture]:
    """Draw the curves of history.csv and, where measured (at `sigmas`), held-out against training loss."""
    rows = history.read(path)
    columns = {name: [float(row[name]) for row in rows] for name in ("images", "loss", "lr")}
    found = [figures.curves(columns["images"], columns["loss"], columns["lr"])]
    measured = loss_gap.measured(rows)
    return [*found, figures.heldout_loss(measured, sigmas)] if measured else found
