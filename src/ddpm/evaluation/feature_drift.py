"""Drift between the data behind a model and the prepared data: statistics of images and distance of their features.

Features of both sets are those of the model's extractor: the next one is trained on the new images, and distances of
two extractors cannot be compared.
"""

from pathlib import Path

import numpy as np

from ddpm.common import files
from ddpm.common.progress import progress
from ddpm.data import prepared, profile
from ddpm.evaluation import drift, extractor_store, reference
from ddpm.evaluation.drift import FeatureDistance
from ddpm.metrics.extractors import Extractor, ExtractorError
from ddpm.metrics.frechet import Moments, MomentsAccumulator, frechet_distance
from ddpm.metrics.real_distances import RealDistances
from ddpm.runtime.device import evaluation_device

BLOCK = 2000
"""Images whose features are held at a time."""


def compare(record: Path, prepared_folder: Path, device: str) -> drift.Drift:
    """Compare the prepared images with those whose profile and features `record` holds."""
    old, new = profile.load(record / "prepare"), profile.load(prepared_folder)
    if not (record / "features" / reference.SUMMARY).is_file():
        return drift.compare(old, new, notes=["features were not compared: the champion's record holds none"])
    if (old.resolution, old.channels) != (new.resolution, new.channels):
        shapes = " and ".join(f"{each.resolution} pixels, {each.channels} channels" for each in (old, new))
        return drift.compare(old, new, notes=[f"features were not compared: the images differ in shape ({shapes})"])
    try:
        extractor, moments, floors = load_record(record / "features", evaluation_device(device))
    except ExtractorError as error:
        return drift.compare(old, new, notes=[f"features were not compared: {error}"])
    return drift.compare(old, new, distance(extractor, moments, floors, extract_moments(extractor, prepared_folder)))


def load_record(folder: Path, device: str = "cpu") -> tuple[Extractor, Moments, RealDistances]:
    """Read extractor, moments of the training images and their floors from the record of a model.

    Raises ExtractorError when the extractor is not available here, ValueError for files that do not belong together.
    """
    summary = files.read_json(folder / reference.SUMMARY)
    extractor = extractor_store.from_folder(folder, device)
    if extractor.sha256 != summary["extractor_sha256"]:
        raise ValueError(f"{folder} holds the moments of another extractor")
    fid = summary["floors"]["fid"]
    counts = summary["floor_counts"]
    moments = reference.read_moments(folder / reference.REFERENCE)[0]
    floors = RealDistances(
        fid.get("resampled", fid["halves"]),
        fid["heldout"],
        counts["halves"],
        moments.count,
        counts["heldout"],
        extractor.dimension,
    )
    return extractor, moments, floors


def extract_moments(extractor: Extractor, folder: Path) -> Moments:
    """Moments of the features of the prepared training images, block by block."""
    data = prepared.load(folder)
    seen = MomentsAccumulator(extractor.dimension)
    with progress("drift: features", len(data.train_indices), "images") as shown:
        for start in range(0, len(data.train_indices), BLOCK):
            seen.add(extractor(data.images[data.train_indices[start : start + BLOCK]], shown.advance))
    return seen.moments()


def distance(extractor: Extractor, old: Moments, floors: RealDistances, new: Moments) -> FeatureDistance:
    """The distance of two sets with its floor, and its size: what it is above the floor, of the most that it can be.

    The most that a distance can be for these means and spreads is reached when the two Gaussians have no direction in
    common: then nothing is taken away from the sum of the three. Finite counts alone make a large part of that where
    there are fewer images than features, so the floor does not belong to the size.
    """
    value, floor = frechet_distance(old, new), floors.at(old.count, new.count)
    gap = old.mean - new.mean
    most = float(gap @ gap + np.trace(old.covariance) + np.trace(new.covariance))
    return FeatureDistance(
        value=drift.rounded(value),
        floor=drift.rounded(floor),
        effect=drift.rounded(max(0.0, value - floor) / most if most else 0.0),
        extractor_sha256=extractor.sha256,
        count=new.count,
        margin=floors.margin,
    )
