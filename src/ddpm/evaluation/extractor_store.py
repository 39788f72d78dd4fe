"""The extractor of a features stage: written into its folder, and opened from there."""

from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.metrics import classifier, inception
from ddpm.metrics.extractors import AS_IT_IS, ClassifierExtractor, Extractor, ExtractorError
from ddpm.metrics.inception import InceptionExtractor
from ddpm.metrics.own import OwnExtractor

EXTRACTOR, WEIGHTS = "extractor.json", "extractor.safetensors"


def write_classifier(folder: Path, model: classifier.Classifier, device: str) -> Extractor:
    """Save a trained classifier and return it as an extractor, named by the hash of the file."""
    files.write_tensors(folder / WEIGHTS, model.state_dict())
    extractor = ClassifierExtractor(model, files.sha256_file(folder / WEIGHTS), device)
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, **model.config}
    files.write_json(folder / EXTRACTOR, config)
    return extractor


def write_inception(folder: Path, weights: str, resize: str, device: str) -> Extractor:
    """Check the weights file at `weights` and save where it is. Raises ExtractorError when it is missing or wrong."""
    extractor = open_inception(weights, resize, device)
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, "file": weights}
    files.write_json(folder / EXTRACTOR, config | {"resize": resize})
    return extractor


def write_own(folder: Path, source: str, resize: str, device: str) -> Extractor:
    """Copy the declared extractor in the folder `source`, so that later changes there do not reach it."""
    extractor = open_own(source, resize, device)
    files.write_bytes(folder / WEIGHTS, (Path(source) / WEIGHTS).read_bytes())
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, "resize": resize}
    files.write_json(folder / EXTRACTOR, config | {"declared": files.read_json(Path(source) / EXTRACTOR)})
    return extractor


def from_folder(folder: Path, device: str, resize: str = AS_IT_IS) -> Extractor:
    """The extractor that extractor.json of a features stage names. `resize` is for a classifier, which has none.

    Raises FileNotFoundError or ValueError that say what to do.
    """
    config = files.read_json(folder / EXTRACTOR)
    if config["name"] == InceptionExtractor.name:
        return open_inception(config["file"], config["resize"], device)
    weights = folder / WEIGHTS
    if config["name"] == OwnExtractor.name:
        extractor: Extractor = _own(config["declared"], weights, config["resize"], device)
        found = extractor.sha256
    else:
        found = files.sha256_file(weights)
        shape = {key: config[key] for key in ("resolution", "channels", "classes", "width")}
        model = classifier.from_weights(shape, files.read_tensors(weights))
        extractor = ClassifierExtractor(model, found, device, resize)
    if found != config["sha256"]:
        raise ValueError(f"{weights} was changed after it was written. Run `dvc repro --force features`.")
    return extractor


def open_inception(weights: str, resize: str, device: str) -> Extractor:
    """Inception-v3 from its weights file. Raises ExtractorError."""
    path = Path(weights)
    if not weights or not path.is_file():
        raise ExtractorError(
            f"features.weights = {weights!r} is no file. Inception needs {inception.FILE} "
            f"(SHA-256 {inception.SHA256}): `ddpm weights inception` gets it, checks it and keeps it under a version; "
            "then name it in features.weights"
        )
    return InceptionExtractor(path.read_bytes(), resize, device=device)


def open_own(source: str, resize: str, device: str) -> Extractor:
    """An extractor of one's own from the folder that declares it. Raises ExtractorError."""
    folder = Path(source)
    missing = [name for name in (EXTRACTOR, WEIGHTS) if not (folder / name).is_file()]
    if not source or missing:
        raise ExtractorError(
            f"{source or 'features.weights'} holds no extractor of your own: it needs the files {EXTRACTOR} and "
            f"{WEIGHTS}. docs/extractors.md says what belongs in them"
        )
    return _own(files.read_json(folder / EXTRACTOR), folder / WEIGHTS, resize, device)


def _own(declared: dict[str, Any], weights: Path, resize: str, device: str) -> Extractor:
    return OwnExtractor(declared, files.read_tensors(weights), resize, device)
