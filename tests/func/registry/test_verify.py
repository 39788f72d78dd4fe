"""Only a version that was loaded and sampled without this project installed can become champion."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ddpm import registry, tracking
from tests.func.registry.conftest import EVIDENCE, NAME
from tests.support.records import DIGEST, use_embedded

Make = Callable[..., int]


def folder_of(number: int) -> Path:
    return Path(registry.version(NAME, number).source.removeprefix("file://"))


def test_a_good_version_is_promoted_after_it_was_drawn_from(make: Make) -> None:
    make("a", trusted=False)
    registry.promote(NAME, 1, why="first", expected_champion=None)
    found = registry.verify(NAME, 1)
    assert json.loads(registry.version(NAME, 1).tags["ddpm.verified"]) == found
    assert (found["shape"], found["dtype"], found["constant"]) == ([2, 8, 8, 1], "uint8", False)
    shutil.rmtree(folder_of(1))
    assert registry.verify(NAME, 1) == found, "what was verified is not loaded again"


def break_weights(folder: Path) -> None:
    (folder / "artifacts/checkpoint/weights.safetensors").write_bytes(b"short")


def lose_code(folder: Path) -> None:
    shutil.rmtree(folder / "code/ddpm")


def draw_black(folder: Path) -> None:
    source = folder / "code/ddpm/sampling/generate.py"
    source.write_text(source.read_text().replace("return images", "return images * 0"))


def draw_wrong_size(folder: Path) -> None:
    source = folder / "code/ddpm/sampling/generate.py"
    source.write_text(source.read_text().replace("return images", "return images[:, :4]"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lose_code, "does not contain the package"),
        (draw_black, "samples of a single value"),
        pytest.param(break_weights, "not a complete safetensors file", marks=pytest.mark.slow),
        pytest.param(shutil.rmtree, "cannot be loaded", marks=pytest.mark.slow),
        pytest.param(draw_wrong_size, r"shape \[2, 4, 8, 1\] instead of \[2, 8, 8, 1\]", marks=pytest.mark.slow),
    ],
)
def test_a_version_that_cannot_be_used_never_becomes_champion(make: Make, damage: Callable, said: str) -> None:
    make("a")
    registry.promote(NAME, 1, why="first", expected_champion=None)
    make("b", trusted=False)
    damage(folder_of(2))
    with pytest.raises(registry.VerificationError, match=said):
        registry.promote(NAME, 2, why="better", expected_champion=1)
    assert registry.status(NAME).aliases["champion"] == 1
    assert len(registry.history(NAME)) == 1
    assert not registry.version(NAME, 2).verified


def test_a_failed_version_is_registered_anew_only_with_other_code(make: Make) -> None:
    make("a", trusted=False)
    registry.annotate(NAME, 1, {"ddpm.failed": "it does not load"})
    assert make("a", trusted=False) == 1, "the same would fail again"
    registry.annotate(NAME, 1, {"ddpm.code": "older"})
    assert make("a", trusted=False) == 2
    assert make("a", trusted=False) == 2


def test_a_version_without_an_artifact_is_refused(make: Make) -> None:
    make("a")
    tracking.client().create_model_version(NAME, (Path.cwd() / "nowhere").as_uri(), None)
    with pytest.raises(registry.VerificationError):
        registry.promote(NAME, 2, why="better", expected_champion=None)
    assert "champion" not in registry.status(NAME).aliases


def test_a_version_that_takes_too_long_is_stopped(make: Make) -> None:
    make("a", trusted=False)
    with pytest.raises(registry.VerificationError, match=r"did not load and sample within 0\.2s; stopped"):
        registry.verify(NAME, 1, time_limit=0.2)
    assert "ddpm.failed" not in registry.version(NAME, 1).tags, "slow is not broken"


def test_a_version_in_a_folder_of_any_name_is_loaded(
    tmp_path: Path, empty_database: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = tmp_path / 'Söhne? #1 (50%20) it\'s & "so"; a+b'
    project.mkdir()
    use_embedded(project, empty_database)
    monkeypatch.chdir(project)
    number = registry.register(tiny_checkpoint, NAME, tracking.complete(DIGEST, {"fid": 30.0}), EVIDENCE)
    assert registry.verify(NAME, number)["shape"] == [2, 8, 8, 1]
    fetched = registry.download(f"models:/{NAME}/{number}")
    assert registry.content_sha256(fetched) == registry.version(NAME, number).content
    assert [each.name for each in tmp_path.iterdir()] == [project.name]
    assert [each.name for each in project.iterdir()] == [".state"]
