"""Compare out/prepare with the data behind a model: `python -m ddpm.stages.drift RECORD_FOLDER TARGET_FILE`.

Not a DVC stage, since who the champion is lies outside the files. The flow runs it when the data are not the
champion's, on what the champion's run keeps of its own. Features of both sets are those of the champion's extractor:
the next one is trained on the new images, and distances of two extractors cannot be compared.
"""

import os
import sys
from pathlib import Path

import numpy as np

from ddpm import drift, files, params, reference, runtime
from ddpm.data import prepared, profile
from ddpm.drift import FeatureDistance
from ddpm.metrics.extractors import Extractor, ExtractorError
from ddpm.metrics.scores import Moments, MomentsAccumulator, frechet_distance
from ddpm.progress import progress
from ddpm.reference import Floors
from ddpm.stages import run

OUT = Path("out/prepare")
BLOCK = 2000


def main() -> None:
    """Compare, and write what was found."""
    if len(sys.argv) != 3:
        raise ValueError("usage: python -m ddpm.stages.drift RECORD_FOLDER TARGET_FILE")
    found = compare(Path(sys.argv[1]))
    files.write_json(Path(sys.argv[2]), found.as_json(params.load().prepare.max_drift))


def compare(record: Path) -> drift.Drift:
    """The prepared images against the ones of which `record` holds profile and features."""
    old, new = profile.load(record / "prepare"), profile.load(OUT)
    if not (record / "features" / reference.SUMMARY).is_file():
        return drift.compare(old, new, notes=["features were not compared: the champion's record holds none"])
    if (old.resolution, old.channels) != (new.resolution, new.channels):
        shapes = " and ".join(f"{each.resolution} pixels, {each.channels} channels" for each in (old, new))
        return drift.compare(old, new, notes=[f"features were not compared: the images differ in shape ({shapes})"])
    runtime.deterministic()
    try:
        device = str(runtime.device(os.environ.get("DDPM_DEVICE", "auto")))
        extractor, moments, floors = reference.load_record(record / "features", device)
    except ExtractorError as error:
        return drift.compare(old, new, notes=[f"features were not compared: {error}"])
    return drift.compare(old, new, distance(extractor, moments, floors, look(extractor)))


def look(extractor: Extractor) -> Moments:
    """Moments of the features of the prepared training images, block by block."""
    data = prepared.load(OUT)
    seen = MomentsAccumulator(extractor.dimension)
    with progress("drift: features", len(data.train_indices), "images") as shown:
        for start in range(0, len(data.train_indices), BLOCK):
            seen.add(extractor(data.images[data.train_indices[start : start + BLOCK]], shown.advance))
    return seen.moments()


def distance(extractor: Extractor, old: Moments, floors: Floors, new: Moments) -> FeatureDistance:
    """The distance of two sets with its floor, and its size.

    The most that a distance can be for these means and spreads is reached when the two Gaussians have no direction in
    common: then nothing is taken away from the sum of the three.
    """
    value = frechet_distance(old, new)
    gap = old.mean - new.mean
    most = float(gap @ gap + np.trace(old.covariance) + np.trace(new.covariance))
    return FeatureDistance(
        value=drift.rounded(value),
        floor=drift.rounded(floors.at(old.count, new.count)),
        effect=drift.rounded(value / most if most else 0.0),
        extractor_sha256=extractor.sha256,
        count=new.count,
    )


if __name__ == "__main__":
    run(main)
