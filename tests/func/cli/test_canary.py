"""`ddpm canary` as a person types it: real versions, real images, and what cannot be compared."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ddpm import registry, tracking
from ddpm.cli import app
from ddpm.common import files
from ddpm.common.units import score_number
from ddpm.config import params
from ddpm.model import checkpoint
from ddpm.registry.versions import VERIFIED_TAG
from ddpm.report.model_comparison import rms
from ddpm.sampling import generate
from tests.support import tiny
from tests.support.changed_params import write_quick_params
from tests.support.records import DIGEST

PRESET = Path(__file__).parents[3] / "presets/quick.yaml"


def ddpm(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def checkpoint_of(folder: Path, scale: float, image: dict[str, Any]) -> Path:
    """A model of random weights, of which `scale` makes another one."""
    config = copy.deepcopy(tiny.CONFIG)
    tiny.random_checkpoint(folder, {**config, "image": {**config["image"], **image}})
    weights = files.read_tensors(folder / "weights.safetensors")
    files.write_tensors(folder / "weights.safetensors", {name: scale * each for name, each in weights.items()})
    return folder


@pytest.fixture
def versions(project: Path) -> list[Path]:
    """Version 1 is champion; 2 has other weights, 3 another resolution, 4 other classes, 5 its own in another order."""
    write_quick_params(steps=4, batch=10)
    run_id = tracking.complete(DIGEST, {"fid": 30.0})
    changes: list[tuple[float, dict[str, Any]]] = [
        (1.0, {}), (0.9, {}), (1.0, {"resolution": 16}), (1.0, {"classes": ["dark", "bright"]}),
        (1.0, {"classes": ["light", "dark"]}),
    ]  # fmt: skip
    folders = [checkpoint_of(project / str(number), *change) for number, change in enumerate(changes, 1)]
    for number, folder in enumerate(folders, 1):
        assert registry.register(folder, "ddpm-digits", run_id) == number
        registry.annotate("ddpm-digits", number, {VERIFIED_TAG: "{}", "ddpm.verdict": "worse", "ddpm.reasons": "FID 9"})
    return folders


def test_both_are_drawn_from_equal_seeds_into_one_page(versions: list[Path]) -> None:
    assert "has no champion to compare with" in ddpm("canary", "2").stderr
    registry.promote("ddpm-digits", 1, why="first", expected_champion=None)
    said = ddpm("canary", "2", "--count", "6", "--seed", "3", "--out", "pages/look.html")
    assert said.exit_code == 0, said.output
    assert "6 pairs of version 2 and the champion, version 1, are in pages/look.html" in said.stdout
    text = Path("pages/look.html").read_text()
    for words in (
        "Class dark",
        "Class light",
        "3 to 8",
        "<strong>Gate: worse</strong>\n<p>FID 9",
        checkpoint.load(versions[1]).sha256,
    ):
        assert words in text
    sampling = params.load().sample.sampling
    drawn = [generate.generate(checkpoint.load(each), 6, sampling, seed=3) for each in versions[:2]]
    largest = re.search(r'Largest difference</dt><dd><span class="number">([^<]+)', text)
    assert largest is not None
    assert largest[1] == score_number(float(rms(*drawn).max())) != "0"


def test_classes_are_paired_by_name(versions: list[Path]) -> None:
    """Versions 1 and 5 have equal weights, so that label i of one is label i of the other, under another name."""
    registry.promote("ddpm-digits", 1, why="first", expected_champion=None)
    assert ddpm("canary", "5", "--count", "4", "--out", "look.html").exit_code == 0
    champion = checkpoint.load(versions[0])
    sampling = params.load().sample.sampling
    pairs = [generate.generate(champion, 4, sampling, labels=labels) for labels in ([0, 1, 0, 1], [1, 0, 1, 0])]
    largest = re.search(r'Largest difference</dt><dd><span class="number">([^<]+)', Path("look.html").read_text())
    assert largest is not None
    assert largest[1] == score_number(float(rms(*pairs).max())) != "0"


def test_what_cannot_be_compared_is_refused_in_words(versions: list[Path]) -> None:
    registry.promote("ddpm-digits", 1, why="first", expected_champion=None)
    for arguments, said in (
        (["1"], "is the champion itself"),
        (["3"], "resolution 8 against 16"),
        (["4"], "classes dark, light against dark, bright"),
        (["9"], "no version 9"),
        (["2", "--count", "501"], "must be at most 500"),
        (["2", "--out", "x.png"], "ends with .html"),
        (["2", "--name", "nobody"], "has no version 2"),
    ):
        found = ddpm("canary", *arguments)
        assert (found.exit_code, said in found.stderr) == (1, True), found.output
    assert not list(Path().glob("*.html"))
