"""DINOv2 against numbers of the publisher's code, with random weights in the published layout, and no real ones."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm.common import files
from ddpm.evaluation import extractor_store
from ddpm.metrics import dinov2, frechet, record, scoring
from ddpm.metrics.dinov2 import DinoV2Extractor, Shape, VisionTransformer
from ddpm.metrics.extractors import ExtractorError
from ddpm.metrics.record import Reference
from tests.support.imagefiles import pattern

SMALL = Shape(width=32, depth=2, heads=4)
# Computed once by the publisher's vision transformer with `weights()`, of `pattern()`.
FEATURES = (0.41365242, -0.0121188974, 0.251318067, -0.0946427584, -0.258515745, 0.284688115)
SQUARES = 3.317351818084717


def weights() -> bytes:
    """Normal random weights of a small network, in the layout of the published file."""
    random = np.random.default_rng(0)
    shapes = sorted((name, tensor.shape) for name, tensor in VisionTransformer(SMALL).state_dict().items())
    state = {name: torch.from_numpy((random.standard_normal(s) * 0.2).astype(np.float32)) for name, s in shapes}
    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()


@pytest.fixture(scope="module")
def extractor() -> DinoV2Extractor:
    content = weights()
    found = DinoV2Extractor(content, "clean", files.sha256_bytes(content), shape=SMALL)
    found.batch = 4  # faster here
    return found


def test_features_are_those_of_the_publisher_s_code(extractor: DinoV2Extractor) -> None:
    features = extractor(pattern()[None])
    assert features.shape == (1, 32)
    assert features[0, :6] == pytest.approx(FEATURES, abs=1e-5)
    assert np.square(features).sum() == pytest.approx(SQUARES, rel=1e-5)


def test_the_published_network_is_vit_large_with_patches_of_14() -> None:
    with torch.device("meta"):
        network = VisionTransformer()
    assert sum(weight.numel() for weight in network.parameters()) == 304_368_640
    assert network.pos_embed.shape == (1, 1 + 37 * 37, 1024)
    assert (len(network.blocks), network.blocks[0].attn.heads) == (24, 16)  # type: ignore[union-attr]


def test_equal_images_are_at_distance_zero_and_there_is_no_inception_score(extractor: DinoV2Extractor) -> None:
    random = np.random.default_rng(0)
    real, fake = (random.integers(0, most, (60, 8, 8, 1), np.uint8) for most in (256, 100))
    features, others = extractor(real), extractor(fake)
    moments = frechet.moments(features)
    assert frechet.frechet_to(features, moments) == pytest.approx(0, abs=1e-5)
    assert scoring.inception_scores(features, extractor, 2) == {}
    found = record.score_features(
        scoring.Features(others), None, extractor, Reference(moments, features, features[:0], {}, (), "r"), splits=2
    )
    assert found["fid"] > 0.01
    assert not {"inception_score", "inception_score_real"} & found.keys()
    assert (found["conditions"]["extractor"], found["conditions"]["feature_dimension"]) == ("dinov2", 32)


def test_other_content_than_the_published_is_refused(tmp_path: Path) -> None:
    content = weights()
    with pytest.raises(
        ExtractorError, match=f"published file {dinov2.FILE} has {dinov2.SHA256}.*`ddpm weights dinov2`"
    ):
        DinoV2Extractor(content, "clean", shape=SMALL)
    for wrong in (b"no tensors", content):  # and a network of another shape
        with pytest.raises(ExtractorError, match=r"not those of dinov2_vitl14_pretrain\.pth"):
            DinoV2Extractor(wrong, "clean", files.sha256_bytes(wrong))
    with pytest.raises(ExtractorError, match=r"dinov2 needs dinov2_vitl14_pretrain\.pth.*`ddpm weights dinov2`"):
        extractor_store.open_published("dinov2", str(tmp_path / "none.pth"), "clean", "cpu")
