"""Reference of an evaluation, written by the features stage: extractor, features and statistics of real images."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm.common import files
from ddpm.evaluation import extractor_store
from ddpm.metrics.extractors import Advance, Extractor
from ddpm.metrics.floors import floors
from ddpm.metrics.frechet import Moments, moments
from ddpm.metrics.record import Reference
from ddpm.metrics.scoring import Features
from ddpm.metrics.shards import WHOLE, Shard

FOLDER = Path("out/features")
REFERENCE, SUMMARY = "reference.safetensors", "features.json"
TRAIN, HELDOUT, NOISE = "train_features.npy", "heldout_features.npy", "noise_features.npy"
CHUNK = 500  # images looked at between two writes


def observe(
    extractor: Extractor,
    images: NDArray[Any],
    indices: NDArray[np.int64],
    file: Path,
    *,
    advance: Advance = lambda count: None,
    shard: Shard = WHOLE,
) -> Features:
    """Extract the features of `images[indices]` chunk by chunk into `file`, memory-mapped; spatial ones beside it.

    Each process holds one chunk, and writes a file of its own.
    """
    wide: Any = extractor
    features = _stream(extractor, images, indices, file, advance, shard)
    if not hasattr(extractor, "spatial"):
        return Features(features)
    return Features(features, _stream(wide.spatial, images, indices, file.with_suffix(".spatial.npy"), advance, shard))


def _stream(
    look: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    images: NDArray[Any],
    indices: NDArray[np.int64],
    file: Path,
    advance: Advance,
    shard: Shard,
) -> NDArray[np.float32]:
    """Features of the images in their order, written to `file`."""
    together = CHUNK * shard.count
    out: np.memmap[Any, np.dtype[np.float32]] | None = None
    for start in range(0, len(indices), together):
        chosen = indices[start : start + together]
        chunks = [chosen[at : at + CHUNK] for at in range(0, len(chosen), CHUNK)]
        rows = shard.map(lambda chunk: look(images[chunk]), chunks)
        if out is None:
            out = files.new_npy(file, np.float32, (len(indices), rows.shape[1]))
        out[start : start + len(rows)] = rows
        advance(len(rows))
    if out is None:
        raise ValueError("there are no images to score")
    out.flush()
    return out


def write(
    folder: Path,
    extractor: Extractor,
    train: Features,
    heldout: Features,
    noisy: Mapping[str, Features],
    *,
    classes: tuple[str, ...],
    class_counts: NDArray[np.int64] | None,
    data_sha256: str,
    accuracy: float | None,
    seed: int,
    order: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Save statistics of features that lie in `folder`, and the floors; returns the summary.

    noisy, order: as in `floors`. class_counts: labels of the training split, counted. Raises TooFewImagesError for a
    split too small to be scored.
    """
    shares = None if class_counts is None else class_counts / class_counts.sum()
    found = floors(train, heldout, noisy, seed=seed, extractor=extractor, train_shares=shares, order=order)
    statistics = moments(train.features)
    spatial = None if train.spatial is None else moments(train.spatial)
    _write_moments(folder / REFERENCE, statistics, spatial)
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
        "floors": found.scores,
        "floor_counts": found.counts,
        "classes": list(classes),
        "class_counts": None if class_counts is None else class_counts.tolist(),
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
    extractor = extractor_store.from_folder(folder, device)
    if extractor.sha256 != summary["extractor_sha256"]:
        raise ValueError(f"{folder} holds the features of another extractor. Run `dvc repro --force features`.")
    statistics, spatial = read_moments(folder / REFERENCE)
    counts = summary["class_counts"]
    reference = Reference(
        moments=statistics,
        train=files.read_npy(folder / TRAIN, memory_map=True),
        heldout=files.read_npy(folder / HELDOUT, memory_map=True),
        floors=summary["floors"],
        classes=tuple(summary["classes"]),
        sha256=summary["reference_sha256"],
        class_shares=None if counts is None else np.array(counts) / sum(counts),
        noise=files.read_npy(folder / NOISE, memory_map=True),
        spatial=spatial,
        floor_counts=summary["floor_counts"],
    )
    return extractor, reference


def _write_moments(path: Path, statistics: Moments, spatial: Moments | None) -> None:
    """Mean and covariance in float64, with their count, and those of spatial features under `spatial.`."""
    import torch

    tensors = {}
    for prefix, each in (("", statistics), ("spatial.", spatial)):
        if each is not None:
            tensors[f"{prefix}mean"] = torch.from_numpy(each.mean)
            tensors[f"{prefix}covariance"] = torch.from_numpy(each.covariance)
            tensors[f"{prefix}count"] = torch.tensor(each.count)
    files.write_tensors(path, tensors)


def read_moments(path: Path) -> tuple[Moments, Moments | None]:
    """Moments of the training images' features, and of their spatial ones where there are any."""
    tensors = files.read_tensors(path)
    found = [
        Moments(int(tensors[f"{p}count"]), tensors[f"{p}mean"].numpy(), tensors[f"{p}covariance"].numpy())
        for p in ("", "spatial.")
        if f"{p}count" in tensors
    ]
    return found[0], found[1] if len(found) > 1 else None
