"""Write the extractor of a features stage into its folder, and open it from there."""

from pathlib import Path

from ddpm.common import files
from ddpm.metrics import classifier, inception
from ddpm.metrics.extractors import AS_IT_IS, ClassifierExtractor, Extractor, ExtractorError
from ddpm.metrics.inception import InceptionExtractor

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


def from_folder(folder: Path, device: str, resize: str = AS_IT_IS) -> Extractor:
    """The extractor that extractor.json of a features stage names. `resize` is for a classifier, which has none.

    Raises FileNotFoundError or ValueError that say what to do.
    """
    config = files.read_json(folder / EXTRACTOR)
    if config["name"] == InceptionExtractor.name:
        return open_inception(config["file"], config["resize"], device)
    if config["name"] != ClassifierExtractor.name:
        raise ExtractorError(
            f"{folder / EXTRACTOR} names the extractor {config['name']!r}, which is not supported. Set "
            "features.extractor to classifier or inception, then run `dvc repro features`."
        )
    weights = folder / WEIGHTS
    found = files.sha256_file(weights)
    shape = {key: config[key] for key in classifier.CONFIG if key in config}
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
            f"features.weights = {weights!r} is not a file. Inception needs {inception.FILE} "
            f"(SHA-256 {inception.SHA256}): `ddpm weights inception` gets it, checks it and keeps it under a version; "
            "then name it in features.weights"
        )
    return InceptionExtractor(path.read_bytes(), resize, device=device)
